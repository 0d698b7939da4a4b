package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"geodns/internal/steer/record"
)

// TestTagTables keeps the tables of docs/steering.md equal to what the program
// knows of the tags.
func TestTagTables(t *testing.T) {
	text, err := os.ReadFile("../docs/steering.md")
	if err != nil {
		t.Fatal(err)
	}
	_, got, found := strings.Cut(string(text), "\n## All tags\n")
	if !found {
		t.Fatal("docs/steering.md has no section \"All tags\"")
	}
	if at := strings.Index(got, "\n### "); at < 0 || got[at+1:] != tagTables() {
		t.Errorf("the tables of docs/steering.md differ from the program's tags; they should be\n%s", tagTables())
	}
}

// tagTables writes a table for each of the records.
func tagTables() string {
	var b strings.Builder
	last := ""
	for _, d := range record.Tags() {
		if d.Record != last {
			if last != "" {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "### `_%s`\n\n| tag | values | without it | what it says |\n|---|---|---|---|\n", d.Record)
			last = d.Record
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Tag, cell(values(&d)), cell(without(&d)), cell(says(&d)))
	}
	return b.String()
}

func values(d *record.TagDoc) string {
	if d.Repeats {
		return d.Values + "; repeats"
	}
	return d.Values
}

func without(d *record.TagDoc) string {
	if d.Required {
		return "an error"
	}
	return d.Default
}

func says(d *record.TagDoc) string {
	var types []string
	for _, t := range d.Types {
		types = append(types, string(t))
	}
	text := d.Text
	if types != nil {
		text = strings.Join(types, ", ") + ": " + text
	}
	return text + ": `" + d.Example + "`"
}

// cell makes a text fit for a Markdown table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
