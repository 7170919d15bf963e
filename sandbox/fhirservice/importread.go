package fhirservice

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"
)

// unit is a processing unit of an import: a slice of one input, so many bytes long.
type unit struct {
	id     int64
	input  int   // index of the input
	offset int64 // of its first byte in the blob
	lines  []importLine
	counts unitCounts
	logURL string
	done   bool
}

// unitCounts are the lines of a unit by what became of them.
type unitCounts struct{ accepted, refused int }

// readInputs checks all inputs, as the orchestrator does, then reads and parses them. Failures carry the status that the status endpoint replays.
func (w *importWork) readInputs(ctx context.Context) ([]*unit, error) {
	d, store := w.definition, w.service.blobs
	byInput := make([][]*unit, len(d.Inputs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, input := range d.Inputs {
		group.Go(func() error {
			container, name, err := store.address(input.URL)
			if err != nil {
				return err
			}
			etag, err := store.etag(ctx, container, name)
			if err != nil {
				return err
			}
			if input.ETag != "" && input.ETag != etag {
				return &Failure{Status: http.StatusBadRequest, Reason: fmt.Sprintf("Input file Etag not match. %s", input.URL)}
			}
			content, err := store.read(ctx, container, name)
			if err != nil {
				return err
			}
			byInput[i] = splitUnits(content, i, int64(d.UnitBytesToRead))
			for _, u := range byInput[i] {
				u.parse(content, input.Type)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	units := slices.Concat(byInput...)
	shuffle(units)
	return units, nil
}

// splitUnits cuts an input into slices; a line belongs to the slice in which it begins. An empty input is one unit without lines.
func splitUnits(content []byte, input int, size int64) []*unit {
	units := []*unit{{input: input}}
	for offset := size; offset < int64(len(content)); offset += size {
		units = append(units, &unit{input: input, offset: offset})
	}
	return cutLines(content, units, size)
}

// cutLines gives each unit the places of its lines, numbered from 0 within the unit; empty lines are counted but skipped.
func cutLines(content []byte, units []*unit, size int64) []*unit {
	index, at := make([]int, len(units)), 0
	for at < len(content) {
		end, next := len(content), len(content)
		if n := bytes.IndexByte(content[at:], '\n'); n >= 0 {
			end, next = at+n, at+n+1
		}
		i := int(int64(at) / size)
		if len(bytes.TrimSpace(content[at:end])) > 0 {
			units[i].lines = append(units[i].lines, importLine{index: index[i], from: at, to: end})
		}
		index[i]++
		at = next
	}
	return units
}

// parse reads all lines of a unit.
func (u *unit) parse(content []byte, declared string) {
	for i := range u.lines {
		l := &u.lines[i]
		l.parse(bytes.TrimSuffix(content[l.from:l.to], []byte("\r")), declared)
	}
}

// shuffle brings units into an order that has nothing to do with their inputs, the same each time: versions of a resource may be loaded out of order.
func shuffle(units []*unit) {
	rank := func(u *unit) uint32 {
		h := fnv.New32a()
		fmt.Fprintf(h, "%d/%d", u.input, u.offset)
		return h.Sum32()
	}
	slices.SortStableFunc(units, func(a, b *unit) int {
		if rank(a) < rank(b) {
			return -1
		}
		return 1
	})
}
