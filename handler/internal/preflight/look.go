package preflight

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"hash/fnv"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

const (
	// maxTold bounds the findings of a kind that leave nothing out.
	maxTold = 1_000
	// maxLeftOut bounds the lines that can be left out of all files.
	maxLeftOut = 100_000
	// futureTolerance is how far ahead a lastUpdated may lie.
	futureTolerance = 10 * time.Second
)

// ids are what the service takes as one.
var ids = regexp.MustCompile(`^[A-Za-z0-9\-.]{1,64}$`)

// Look is what was seen so far of files that are read one after the other. Its exported fields are read freely; it is not safe for concurrent
// use.
type Look struct {
	Next     Place // where to go on: File counts those that are done
	Lines    int64 // that were looked at
	Findings []Finding
	Counts   map[Kind]int64 // all of them, also those that are not kept
	LeftOut  int            // lines that would be left out, all of them

	// HoldOrder says that contradicting versions are left out, too. Otherwise the import is left to refuse them.
	HoldOrder bool

	Crowd    crowd
	Versions versions
}

// New begins a look.
func New(holdOrder bool) *Look {
	return &Look{HoldOrder: holdOrder, Counts: map[Kind]int64{}, Crowd: crowd{}, Versions: newVersions()}
}

// Load goes on with what Save wrote.
func Load(r io.Reader) (*Look, error) {
	l := &Look{}
	if err := gob.NewDecoder(r).Decode(l); err != nil {
		return nil, fmt.Errorf("read the state of a look at files: %w", err)
	}
	fresh := New(l.HoldOrder)
	if l.Counts == nil {
		l.Counts = fresh.Counts
	}
	if l.Crowd == nil {
		l.Crowd = fresh.Crowd
	}
	l.Versions.complete()
	return l, nil
}

// Save writes everything that is needed to go on.
func (l *Look) Save(w io.Writer) error {
	if err := gob.NewEncoder(w).Encode(l); err != nil {
		return fmt.Errorf("save the state of a look at files: %w", err)
	}
	return nil
}

// Fails says whether something was found that fails the job, or that the caller wants decided before the import.
func (l *Look) Fails() bool { return l.LeftOut > 0 }

// TooMany says that more lines would have to be left out than are kept: the findings cannot be accepted.
func (l *Look) TooMany() bool { return l.LeftOut > maxLeftOut }

// Line looks at one line. now is the time by which a lastUpdated lies in the future.
func (l *Look) Line(at Place, line []byte, now time.Time) {
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return
	}
	l.Lines++
	f := Finding{Place: at}
	if !gjson.ValidBytes(line) || line[0] != '{' {
		l.found(f, NotJSON, "it is not a JSON object", false)
		return
	}
	resource := gjson.GetManyBytes(line, "resourceType", "id", "meta.versionId", "meta.lastUpdated")
	typ, id := resource[0], resource[1]
	f.Type, f.ID = cut(typ.String()), cut(id.String())
	switch {
	case typ.Type != gjson.String || typ.Str == "":
		l.found(f, NotJSON, "it has no resourceType", false)
		return
	case id.Type != gjson.String || !ids.MatchString(id.Str):
		l.found(f, InvalidID, "an id has 1 to 64 of A-Z, a-z, 0-9, - and .", false)
		return
	}
	if number := overflow(line); number != "" {
		f.Value = cut(number)
		l.found(f, Overflow, "a number does not fit decimal(36,18)", true)
		return
	}
	if resource[3].Exists() {
		l.stamped(f, resource[2].String(), resource[3].String(), now)
	}
}

// stamped looks at the time and version of a line.
func (l *Look) stamped(f Finding, version, lastUpdated string, now time.Time) {
	at, err := time.Parse(time.RFC3339Nano, lastUpdated)
	switch {
	case err != nil:
		f.Value = cut(lastUpdated)
		l.found(f, InvalidTime, "lastUpdated is no instant", false)
		return
	case at.After(now.Add(futureTolerance)):
		l.found(f, Future, "lastUpdated is "+instant(at.UnixMilli()), false)
		return
	}
	ms := at.UnixMilli()
	if l.Crowd.add(ms) {
		l.found(f, Crowded, fmt.Sprintf("more than %d lines were changed at %s", maxCrowd, instant(ms)), true)
		return
	}
	number, err := strconv.ParseInt(version, 10, 32)
	if err != nil { // the service gives it a version of its own
		return
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, f.Type+"/"+f.ID) // a hash takes everything
	l.Versions.add(h.Sum64(), record{Version: int32(number), Millis: ms, Place: f.Place}, func(r record, k Kind, detail string) {
		f := f
		f.Place = r.Place
		l.found(f, k, detail, k == Order && l.HoldOrder)
	})
}

// found notes a finding.
func (l *Look) found(f Finding, k Kind, detail string, leaveOut bool) {
	l.Counts[k]++
	f.Kind, f.Detail, f.LeaveOut = k, detail, leaveOut
	if leaveOut {
		if l.LeftOut++; l.LeftOut > maxLeftOut {
			return
		}
	} else if l.Counts[k] > maxTold {
		return
	}
	l.Findings = append(l.Findings, f)
}

// cut keeps what comes from a line short.
func cut(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
