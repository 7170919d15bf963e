package fhirservice

import (
	"fmt"
	"time"

	"github.com/tidwall/gjson"
)

// loadDatedLocked gives versions to lines that have a lastUpdated but none of their own: behind the current version the next number, before it a number that is
// free between their neighbours in time.
func (m *merge) loadDatedLocked(lines []*importLine) {
	for _, group := range m.byResource(lines) {
		var newer []*importLine
		for _, l := range group { // the latest first
			rec := m.store.records[l.key()]
			if rec == nil || l.lastUpdated.UnixMilli() > rec.current().ms {
				newer = append(newer, l)
				continue
			}
			if number, ok := m.slot(rec, l.lastUpdated.UnixMilli()); ok {
				m.storeLocked(l, number, l.lastUpdated)
			} else {
				m.conflict(l)
			}
		}
		for i := len(newer) - 1; i >= 0; i-- {
			m.storeNextLocked(newer[i], newer[i].lastUpdated)
		}
	}
}

// loadUndatedLocked stamps lines without a lastUpdated with the server's time; their version is ignored.
func (m *merge) loadUndatedLocked(lines []*importLine) {
	for _, l := range lines {
		m.storeNextLocked(l, m.now)
	}
}

// storeNextLocked stores a line as the version after the current one, unless it says the same as the current one.
func (m *merge) storeNextLocked(l *importLine, at time.Time) {
	next := 1
	if rec := m.store.records[l.key()]; rec != nil {
		current := rec.current()
		if current.Deleted == l.deleted && sameContent(current.Raw, l.raw) {
			return
		}
		next = max(current.number, 0) + 1
	}
	m.storeLocked(l, next, at)
}

// slot finds a free version number for an instant before the current version: just below the next version in time, if that is above the previous one.
func (m *merge) slot(rec *record, ms int64) (int, bool) {
	var before, after *row
	lowest := 0
	for _, r := range rec.rows {
		if r.ms < ms && (before == nil || r.ms > before.ms) {
			before = r
		}
		if r.ms > ms && (after == nil || r.ms < after.ms) {
			after = r
		}
		lowest = min(lowest, r.number)
	}
	floor := 0
	if before != nil {
		floor = max(before.number, 0)
	}
	if after != nil && after.number-1 > floor && rec.find(after.number-1) == nil {
		return after.number - 1, true
	}
	return lowest - 1, m.allowNegative
}

// storeLocked makes a line a row. The line has been parsed and its number is free, so that nothing can be wrong with it.
func (m *merge) storeLocked(l *importLine, number int, at time.Time) {
	if l.lost {
		return
	}
	raw := l.raw
	if m.flip != nil && *m.flip {
		if changed, ok := flipByte(raw); ok {
			raw, *m.flip = changed, false
		}
	}
	r, err := newRow(Version{Type: l.typ, ID: l.id, VersionID: fmt.Sprint(number), LastUpdated: at, Deleted: l.deleted, Raw: raw})
	if err != nil {
		m.refused[l] = err.Error()
		return
	}
	m.store.addToRecordLocked(r)
	m.added = append(m.added, r)
}

// flipByte returns a copy of a resource with one letter or digit of its content changed, which leaves it valid JSON.
func flipByte(raw []byte) ([]byte, bool) {
	at := -1
	gjson.ParseBytes(raw).ForEach(func(k, v gjson.Result) bool {
		switch k.String() {
		case "resourceType", "id", "meta", "text":
			return true
		}
		at = flippable(v, v.Index)
		return at < 0
	})
	if at < 0 {
		return nil, false
	}
	changed := append([]byte{}, raw...)
	switch c := changed[at]; c {
	case '9', 'z', 'Z':
		changed[at] = c - 1
	default:
		changed[at] = c + 1
	}
	return changed, true
}

// flippable finds a letter or digit in a string below v, whose text begins at an offset; -1 when there is none.
func flippable(v gjson.Result, offset int) int {
	if v.Type == gjson.String {
		for i := 1; i < len(v.Raw)-1 && v.Raw[i] != '\\'; i++ {
			if c := v.Raw[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
				return offset + i
			}
		}
		return -1
	}
	found := -1
	if v.IsObject() || v.IsArray() {
		v.ForEach(func(_, child gjson.Result) bool {
			found = flippable(child, child.Index)
			return found < 0
		})
	}
	return found
}
