package build

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/oschwald/maxminddb-golang/v2"

	"geodns/internal/geo/country"
)

// DatabaseType is what the files call themselves. Readers look for "City" in
// it to know the layout.
const DatabaseType = "geodns-City"

// WriteMMDB writes the ranges as an .mmdb file in the City layout. The same
// data gives the same octets.
func (d *Data) WriteMMDB(w io.Writer, description string) error {
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		BuildEpoch:   d.Date.Unix(),
		DatabaseType: DatabaseType,
		Description:  map[string]string{"en": description},
		Languages:    []string{"en"},
		// What the sources say of 10.0.0.0/8, or of 2002::/16, is to be found
		// under just these addresses.
		IncludeReservedNetworks: true,
		DisableIPv4Aliasing:     true,
		KeyGenerator:            numbers{},
	})
	if err != nil {
		return err
	}
	records := make([]mmdbtype.DataType, len(d.places))
	for i, p := range d.places {
		records[i] = record{p.mmdb(), uint32(i)}
	}
	for _, s := range d.v4 {
		if err := tree.InsertRange(net.IP(s.first.ip4().AsSlice()), net.IP(s.last.ip4().AsSlice()), records[s.place]); err != nil {
			return err
		}
	}
	for _, s := range d.v6 {
		// In an .mmdb file ::/96 holds IPv4.
		if s.last.less(lowest6) {
			continue
		}
		if s.first.less(lowest6) {
			s.first = lowest6
		}
		if err := tree.InsertRange(net.IP(s.first.ip6().AsSlice()), net.IP(s.last.ip6().AsSlice()), records[s.place]); err != nil {
			return err
		}
	}
	_, err = tree.WriteTo(w)
	return err
}

// record is a place with its number, by which the writer knows that it has it
// already: to compare the fields would take most of the time.
type record struct {
	mmdbtype.Map
	number uint32
}

// numbers gives records' numbers to the writer.
type numbers struct{}

// Key is the number as text.
func (numbers) Key(v mmdbtype.DataType) ([]byte, error) {
	r, ok := v.(record)
	if !ok {
		return nil, fmt.Errorf("a %T is no record", v)
	}
	return strconv.AppendUint(nil, uint64(r.number), 10), nil
}

// mmdb is the place in the City layout.
func (p *Place) mmdb() mmdbtype.Map {
	m := mmdbtype.Map{}
	names := func(name string) mmdbtype.Map { return mmdbtype.Map{"en": mmdbtype.String(name)} }
	if p.Continent != "" {
		m["continent"] = mmdbtype.Map{
			"code": mmdbtype.String(p.Continent), "names": names(country.ContinentName(p.Continent)),
		}
	}
	if c, ok := country.Lookup(p.Country); ok {
		of := mmdbtype.Map{"iso_code": mmdbtype.String(c.Code), "names": names(c.Name)}
		m["country"], m["registered_country"] = of, of
	}
	if p.Subdivision != "" {
		m["subdivisions"] = mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String(p.Subdivision)}}
	}
	if p.City != "" {
		m["city"] = mmdbtype.Map{"names": names(p.City)}
	}
	if p.Located {
		m["location"] = mmdbtype.Map{"latitude": mmdbtype.Float64(p.Lat), "longitude": mmdbtype.Float64(p.Lon)}
	}
	if p.ASN != 0 {
		m["traits"] = mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(p.ASN)}
	}
	return m
}

// WriteFile writes an .mmdb file beside path, reads it back, and puts it in
// path's place only if every range is found in it. stage is told what begins;
// nil: nobody is.
func (d *Data) WriteFile(path, description string, stage func(what string)) (err error) {
	if stage == nil {
		stage = func(string) {}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, plain(err))
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("cannot write %s: %w", path, plain(err))
		}
	}()
	stage("writing")
	w := bufio.NewWriterSize(f, 1<<20)
	if err := d.WriteMMDB(w, description); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	// CreateTemp lets nobody else read, and the server is somebody else.
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	stage("verifying")
	if err := d.verify(f.Name()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// verify reads a file that WriteMMDB has written: its structure as a whole, and
// both ends of every range.
func (d *Data) verify(path string) error {
	db, err := maxminddb.Open(path)
	if err != nil {
		return fmt.Errorf("it cannot be read back: %w", err)
	}
	defer db.Close()
	if err := db.Verify(); err != nil {
		return fmt.Errorf("it is not valid: %w", err)
	}
	if at := time.Unix(int64(db.Metadata.BuildEpoch), 0); !at.Equal(d.Date.Truncate(time.Second)) {
		return fmt.Errorf("it is dated %s instead of %s", at.UTC(), d.Date.UTC())
	}
	for r := range d.Ranges() {
		if fromIP(r.First).less(lowest6) && r.First.Is6() {
			continue
		}
		first, last := db.Lookup(r.First), db.Lookup(r.Last)
		var code string
		if !first.Found() {
			return fmt.Errorf("it says nothing of %s", r.First)
		}
		if err := first.DecodePath(&code, "country", "iso_code"); err != nil {
			return fmt.Errorf("it cannot be read at %s: %w", r.First, err)
		}
		if code != r.Place.Country || first.Offset() != last.Offset() {
			return fmt.Errorf("it is wrong about %s to %s", r.First, r.Last)
		}
	}
	return nil
}
