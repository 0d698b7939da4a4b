package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"geodns/internal/geo"

	"github.com/google/go-cmp/cmp"
)

// What a configuration names is checked with it.
func TestCheckConfiguration(t *testing.T) {
	const twoSites = checkedTop + `www 60 A 192.0.2.10
    60 A 198.51.100.10
nyc._site TXT "v=site1; net=192.0.2.0/24; at=40.71,-74.01"
sfo._site TXT "v=site1; net=198.51.100.0/24; at=37.77,-122.42"
www._steer TXT "v=steer1; policy=nearest"
`
	dir := zoneFiles(t, map[string]string{
		"example.org.zone": twoSites,
		"plain.yaml":       "zones: .\n",
		"good.csv":         "prefix,country,lat,lon\n192.0.2.0/24,GB,51.5,-0.1\n",
		"bad.csv":          "prefix,country,lat,lon\n192.0.2.0/24,GB,91,0\n198.51.100.0/33,GB,1,1\n",
		"own.yaml":         "zones: .\ngeo: {networks: good.csv}\n",
		"badown.yaml":      "zones: .\ngeo: {networks: bad.csv}\n",
		"bad.mmdb":         "no database",
		"baddata.yaml":     "zones: .\ngeo: {database: bad.mmdb}\n",
		"weak.yaml":        "zones: .\nkeys: [{name: a., algorithm: hmac-sha256, secret: MTIzNDU2Nzg5}]\n",
		"badkey.yaml":      "zones: .\nkeys: [{name: a., algorithm: hmac-sha256, secret-file: none}]\n",
	})
	if err := os.Chmod(filepath.Join(dir, "weak.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args string
		code int
		want string // of each finding, its place and rule
	}{
		{"--config DIR/plain.yaml", exitOK, "example.org.zone:12:34 steer-one-country"},
		{"DIR/example.org.zone", exitOK, "example.org.zone:12:34 steer-one-country"},
		{"--warnings=false --config DIR/plain.yaml", exitOK, ""},
		// Own networks say where one of the sites is: in another country.
		{"--config DIR/own.yaml", exitOK, ""},
		{"--config DIR/badown.yaml", exitFailure, "bad.csv:2:17 geo-networks bad.csv:3:1 geo-networks"},
		{"--config DIR/baddata.yaml", exitFailure, "bad.mmdb:1:1 geo-database"},
		{"--config DIR/weak.yaml", exitOK, "example.org.zone:12:34 steer-one-country weak.yaml:2:51 configuration"},
		{"--warnings=false --config DIR/weak.yaml", exitOK, ""},
		{"--strict --config DIR/weak.yaml", exitFailure, "example.org.zone:12:34 steer-one-country weak.yaml:2:51 configuration"},
		{"--config DIR/badkey.yaml", exitConfig, ""},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields("check -q "+strings.ReplaceAll(tt.args, "DIR", dir)), &stdout, &stderr)
		var got []string
		for line := range strings.Lines(stdout.String()) {
			place, _, _ := strings.Cut(strings.TrimPrefix(line, dir+"/"), ": ")
			rule := line[strings.LastIndex(line, "[")+1:]
			got = append(got, place+" "+strings.TrimSuffix(rule, "]\n"))
		}
		if d := cmp.Diff(tt.want, strings.Join(got, " ")); d != "" || code != tt.code {
			t.Errorf("check %s: code %d, want %d (-want +got):\n%s%s", tt.args, code, tt.code, d, &stderr)
		}
	}
}

// Whatever geography says of its files is told, error by error.
func TestCheckGeoErrors(t *testing.T) {
	one, two := geo.Error{File: "a", Line: 1, Message: "x"}, geo.Error{File: "b", Message: "y"}
	tests := []struct {
		err  error
		want []geo.Error
	}{
		{nil, nil},
		{one, []geo.Error{one}},
		{errors.Join(one, geo.Errors{two, one}), []geo.Error{one, two, one}},
		{fmt.Errorf("in front: %w", geo.Errors{two}), []geo.Error{two}},
		{errors.New("z"), []geo.Error{{Message: "z"}}},
		{fmt.Errorf("w: %w", os.ErrNotExist), []geo.Error{{Message: "w: file does not exist"}}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, geoErrors(tt.err)); d != "" {
			t.Errorf("%v (-want +got):\n%s", tt.err, d)
		}
	}
}
