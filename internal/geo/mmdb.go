package geo

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"

	"geodns/internal/geo/place"
)

// remedies of a database that can't be used.
const (
	remedyDownload = "; download it again, or restore the file that was there before"
	remedyLayout   = "; take one with the layout City, Country, ASN, ISP or Enterprise"
)

// readDatabase makes a Table of a database's content, which name names in what
// describes it. The error says what is
// wrong and what to do, but not which file it is.
func readDatabase(name string, content []byte, o Options) (t *Table, err error) {
	// The reader checks what it reads; should it miss something, then a broken
	// file must not end the server.
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("the database is malformed (%v)%s", r, remedyDownload)
		}
	}()
	if len(content) == 0 {
		return nil, errors.New("the file is empty" + remedyDownload)
	}
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, fmt.Errorf("this is no database in MaxMind's format, or only a part of one (%w)%s", err, remedyDownload)
	}
	if err := reader.Verify(); err != nil {
		return nil, fmt.Errorf("the database is damaged (%w)%s", err, remedyDownload)
	}
	nodes, size := reader.Metadata.NodeCount, reader.Metadata.RecordSize
	// The data section begins 16 octets after the search tree.
	data := mmdbdata.NewDecoder(content[nodes*size/4+16:], 0, mmdbdata.WithStringCache())
	d := decoder{Options: o, data: data, Builder: place.NewBuilder(), places: map[uint32]uint32{}}
	tree := tree{content: content, nodes: uint32(nodes), record: size, leaf: d.leaf}
	if reader.Metadata.IPVersion == 4 {
		err = tree.walk4()
	} else {
		err = tree.walk6()
	}
	var kind mmdbdata.UnexpectedKindError
	switch {
	case errors.As(err, &kind):
		return nil, fmt.Errorf("the database, of type %q, has records of an unknown layout (%w)%s", clip(reader.Metadata.DatabaseType), err, remedyLayout)
	case err != nil:
		return nil, fmt.Errorf("the database is damaged (%w)%s", err, remedyDownload)
	case d.Len() == 1:
		return nil, fmt.Errorf("the database, of type %q, has no network with a country, a position or an AS number%s", clip(reader.Metadata.DatabaseType), remedyLayout)
	}
	info := Info{Source: Database, File: name, Type: clip(reader.Metadata.DatabaseType), Built: buildTime(reader.Metadata.BuildEpoch), Networks: d.networks}
	return d.Table(info), nil
}

// buildTime is zero where the database's date is none that can be.
func buildTime(epoch uint) time.Time {
	const year9999 = 253402300799
	if epoch == 0 || epoch > year9999 {
		return time.Time{}
	}
	return time.Unix(int64(epoch), 0).UTC()
}

// decoder turns the leaves of a database's tree into bounds.
type decoder struct {
	Options
	*place.Builder
	data     *mmdbdata.Decoder
	places   map[uint32]uint32 // their numbers, by offset of the record
	record   record
	networks int
}

// noRecord is the offset of a leaf without a record.
const noRecord = math.MaxUint32

// leaf adds a network whose record is at an offset of the data section.
func (d *decoder) leaf(four bool, first place.Key, offset uint32) error {
	at := uint32(0)
	if offset != noRecord {
		d.networks++
		var err error
		if at, err = d.placeAt(offset); err != nil {
			return err
		}
	}
	if four {
		d.Four(uint32(first.Lo), at)
	} else {
		d.Six(first, at)
	}
	return nil
}

// placeAt decodes each record once.
func (d *decoder) placeAt(offset uint32) (uint32, error) {
	n, known := d.places[offset]
	if known {
		return n, nil
	}
	if err := d.record.read(d.data.CursorAt(uint(offset))); err != nil {
		return 0, err
	}
	if p := d.tidy(d.record.place()); says(&p) {
		n = d.Place(p)
	}
	d.places[offset] = n
	return n, nil
}
