package health

import (
	"testing"
	"time"
)

func TestDrains(t *testing.T) {
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	list := Drains(nil).
		With(Drain{Name: "lon", From: at(0), Until: at(60)}).
		With(Drain{Name: "nyc", Zone: "a.example.", From: at(10)}).
		With(Drain{Name: "lon", From: at(0), Until: at(30), Reason: "replaces the first"})
	if len(list) != 2 {
		t.Fatalf("%d drains, want 2: %v", len(list), list)
	}
	tests := []struct {
		zone, name string
		minute     int
		want       bool
	}{
		{"a.example.", "lon", -1, false},
		{"a.example.", "lon", 0, true},
		{"b.example.", "lon", 29, true},
		{"a.example.", "lon", 30, false},
		{"a.example.", "nyc", 9, false},
		{"A.example.", "nyc", 1000, true},
		{"b.example.", "nyc", 1000, false},
		{"a.example.", "sin", 20, false},
	}
	for _, tt := range tests {
		if got := list.Covers(tt.zone, tt.name, at(tt.minute)); got != tt.want {
			t.Errorf("%s of %s after %d minutes: drained %t, want %t", tt.name, tt.zone, tt.minute, got, tt.want)
		}
	}
	for _, tt := range []struct{ after, want int }{{-5, 0}, {0, 10}, {10, 30}} {
		if got := list.Next(at(tt.after)); !got.Equal(at(tt.want)) {
			t.Errorf("after %d minutes, the next change is %s, want %d minutes", tt.after, got, tt.want)
		}
	}
	if next := list.Next(at(30)); !next.IsZero() {
		t.Errorf("after all, the next change is %s", next)
	}
	if rest := list.Without("b.example.", "nyc"); len(rest) != 2 {
		t.Error("another zone's drain was taken back")
	}
	if rest := list.Without("", "nyc"); len(rest) != 1 || !rest[0].Over(at(30)) || rest[0].Over(at(29)) {
		t.Errorf("left: %v", rest)
	}
}

// A site or node turns when the last of the drains that cover it ends, not when
// one of several does.
func TestTurn(t *testing.T) {
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	list := Drains{
		{Name: "lon", From: at(0), Until: at(60)},
		{Name: "lon", Zone: "a.example.", From: at(30), Until: at(90)},
		{Name: "nyc", From: at(10)},
	}
	tests := []struct {
		zone, name  string
		after, want int // minutes; -1: never
	}{
		{"b.example.", "lon", -5, 0},
		{"b.example.", "lon", 0, 60},
		{"b.example.", "lon", 60, -1},
		{"a.example.", "lon", 0, 90},
		{"a.example.", "lon", 70, 90},
		{"a.example.", "nyc", 0, 10},
		{"a.example.", "nyc", 10, -1},
		{"a.example.", "sin", 0, -1},
	}
	for _, tt := range tests {
		got := list.Turn(tt.zone, tt.name, at(tt.after))
		if tt.want < 0 && !got.IsZero() || tt.want >= 0 && !got.Equal(at(tt.want)) {
			t.Errorf("%s of %s after %d minutes turns at %s, want minute %d", tt.name, tt.zone, tt.after, got, tt.want)
		}
	}
}
