// Command mkworld makes the file of the built-in world of Tor's geoip and
// geoip6, which hold the IPFire Location Database.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"geodns/internal/geo"
	"geodns/internal/geo/build"
	"geodns/internal/geo/builtin"
)

func main() {
	out := flag.String("o", "world.bin", "the `FILE` to write")
	flag.Parse()
	if err := run(os.Stdout, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mkworld:", err)
		os.Exit(1)
	}
}

func run(stdout io.Writer, out string, files []string) error {
	if len(files) == 0 {
		return errors.New("name Tor's files geoip and geoip6, which Debian's package tor-geoipdb brings")
	}
	var o build.Options
	for _, f := range files {
		o.Sources = append(o.Sources, build.Source{Kind: build.Tor, Path: f})
	}
	data, err := build.Read(o)
	if err != nil {
		return err
	}
	for _, f := range data.Files {
		if f.Date.IsZero() {
			return fmt.Errorf("%s: the line \"# Generated:\" with the date is missing; take the file as tor-geoipdb brings it", f.Source.Path)
		}
	}
	var b bytes.Buffer
	info := builtin.Info{Date: data.Date, Source: "IPFire Location Database", Licence: "CC BY-SA 4.0"}
	if err := builtin.Encode(&b, info, ranges(data)); err != nil {
		return err
	}
	if err := os.WriteFile(out, b.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d ranges in %d countries, %d octets, data of %s\n", out, data.Len(), data.Countries(), b.Len(), data.Date.Format("2006-01-02"))
	return nil
}

func ranges(d *build.Data) func(yield func(geo.Range) bool) {
	return func(yield func(geo.Range) bool) {
		for r := range d.Ranges() {
			if !yield(geo.Range{First: r.First, Last: r.Last, Country: r.Place.Country}) {
				return
			}
		}
	}
}
