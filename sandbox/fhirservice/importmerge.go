package fhirservice

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

const (
	mergeBatch       = 1000             // lines that are looked at together
	futureTolerance  = 10 * time.Second // how far in the future a lastUpdated may be
	maxPerMillisec   = 80_000           // rows that can share a lastUpdated
	killedByOverflow = "Arithmetic overflow error converting a number to data type numeric."
	killedBySequence = "Cannot generate a unique surrogate id: too many resources share one lastUpdated. Keep them below 10000."
)

// merge loads lines of one unit into the store, as of an instant.
type merge struct {
	store         *store
	now           time.Time
	initialLoad   bool
	allowNegative bool
	flip          *bool // a fault: change a byte of the next row that is stored, and reset

	added   []*row
	refused map[*importLine]string
}

// load takes a batch of lines and returns how many were accepted. Why others were not is in refused. A Failure ends the whole import.
func (m *merge) load(lines []*importLine) (int, error) {
	good := make([]*importLine, 0, len(lines))
	for _, l := range lines {
		switch {
		case l.problem != "":
			m.refused[l] = l.problem
		case l.lastUpdated.After(m.now.Add(futureTolerance)):
			m.refused[l] = "LastUpdated in the resource cannot be in the future."
		case m.initialLoad && l.conditional:
			m.refused[l] = "Given conditional reference is not allowed for the resource."
		case l.overflow:
			return 0, &Failure{Status: 400, Reason: killedByOverflow}
		default:
			good = append(good, l)
		}
	}
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	defer m.commitLocked()
	before := len(m.refused)
	if m.initialLoad {
		m.loadInitialLocked(good)
	} else if err := m.loadIncrementalLocked(good); err != nil {
		return 0, err
	}
	return len(good) - (len(m.refused) - before), nil
}

func (m *merge) commitLocked() {
	m.store.addToTimelinesLocked(m.added)
	m.added = nil
}

func (m *merge) duplicate(l *importLine) {
	m.refused[l] = fmt.Sprintf("Failed to import duplicate resource, resource id: %s, line: %d", l.id, l.index)
}

func (m *merge) conflict(l *importLine) {
	m.refused[l] = fmt.Sprintf("Failed to import resource with version conflict, resource id: %s, line: %d", l.id, l.index)
}

// loadInitialLocked makes every line version 1 of now; what is there already is a duplicate.
func (m *merge) loadInitialLocked(lines []*importLine) {
	for _, l := range lines {
		if m.store.records[l.key()] != nil {
			m.duplicate(l)
			continue
		}
		m.storeLocked(l, 1, m.now)
	}
}

// loadIncrementalLocked sorts the lines into those that repeat another line or the store, those with a version, and those without.
func (m *merge) loadIncrementalLocked(lines []*importLine) error {
	var versioned, dated, undated []*importLine
	for _, l := range m.onePerInstant(lines) {
		if l.lastUpdated.IsZero() {
			undated = append(undated, l)
			continue
		}
		if stored := m.storedAtLocked(l); stored != nil {
			if l.hasVersion && l.number != stored.number || !m.equalLocked(l, stored) {
				m.conflict(l)
			}
			continue
		}
		if l.hasVersion {
			versioned = append(versioned, l)
		} else {
			dated = append(dated, l)
		}
	}
	if err := m.checkSequenceLocked(versioned, dated); err != nil {
		return err
	}
	m.loadVersionedLocked(versioned)
	m.loadDatedLocked(dated)
	m.loadUndatedLocked(undated)
	return nil
}

// onePerInstant keeps one line for each resource and lastUpdated (those without one are taken as of one instant): the highest version, compared as a string.
func (m *merge) onePerInstant(lines []*importLine) []*importLine {
	type instant struct {
		key
		ms int64
	}
	kept := make([]*importLine, 0, len(lines))
	at := make(map[instant]int, len(lines))
	for _, l := range lines {
		when := instant{l.key(), math.MinInt64}
		if !l.lastUpdated.IsZero() {
			when.ms = l.lastUpdated.UnixMilli()
		}
		i, taken := at[when]
		switch {
		case !taken:
			at[when] = len(kept)
			kept = append(kept, l)
		case l.versionText() > kept[i].versionText():
			m.duplicate(kept[i])
			kept[i] = l
		default:
			m.duplicate(l)
		}
	}
	return kept
}

// versionText is the version as the service compares it; a line without one counts as version 1.
func (l *importLine) versionText() string {
	if l.hasVersion {
		return strconv.Itoa(l.number)
	}
	return "1"
}

func (m *merge) storedAtLocked(l *importLine) *row {
	if rec := m.store.records[l.key()]; rec != nil {
		return rec.at(l.lastUpdated.UnixMilli())
	}
	return nil
}

// equalLocked compares the line, as it would be stored, with a row. The comparison is one of texts.
func (m *merge) equalLocked(l *importLine, stored *row) bool {
	if l.hasVersion {
		return l.deleted == stored.Deleted && string(l.raw) == string(stored.Raw)
	}
	return l.deleted == stored.Deleted && sameContent(l.raw, stored.Raw)
}

// checkSequenceLocked counts the rows of each millisecond: their surrogate ids run out.
func (m *merge) checkSequenceLocked(groups ...[]*importLine) error {
	fresh := map[int64]int{}
	for _, lines := range groups {
		for _, l := range lines {
			fresh[l.lastUpdated.UnixMilli()]++
		}
	}
	for ms, n := range fresh {
		if len(m.store.all.between(ms, ms+1))+n > maxPerMillisec {
			return &Failure{Status: 400, Reason: killedBySequence}
		}
	}
	return nil
}

// loadVersionedLocked stores versions under their numbers when that fits the order of time, among themselves and against the current version.
func (m *merge) loadVersionedLocked(lines []*importLine) {
	for _, group := range m.byResource(m.onePerVersion(lines)) {
		previous := math.MaxInt
		var fitting []*importLine
		for _, l := range group {
			switch {
			case l.number < 0 && m.allowNegative: // history by definition, whatever its time
				fitting = append(fitting, l)
			case l.number < 0:
				m.conflict(l)
			case l.number >= previous:
				m.conflict(l)
				previous = l.number
			default:
				fitting = append(fitting, l)
				previous = l.number
			}
		}
		rec := m.store.records[group[0].key()]
		var current *row
		if rec != nil {
			current = rec.current()
		}
		for _, l := range fitting {
			if rec != nil && (rec.find(l.number) != nil || l.number > 0 && l.outOfOrder(current)) {
				m.conflict(l)
				continue
			}
			m.storeLocked(l, l.number, l.lastUpdated)
		}
	}
}

// outOfOrder says that the order of versions disagrees with the order of time.
func (l *importLine) outOfOrder(current *row) bool {
	ms := l.lastUpdated.UnixMilli()
	return ms > current.ms && l.number < current.number || ms < current.ms && l.number > current.number
}

// onePerVersion keeps one line for each resource and version: the latest.
func (m *merge) onePerVersion(lines []*importLine) []*importLine {
	type version struct {
		key
		number int
	}
	kept := make([]*importLine, 0, len(lines))
	at := make(map[version]int, len(lines))
	for _, l := range lines {
		v := version{l.key(), l.number}
		i, taken := at[v]
		switch {
		case !taken:
			at[v] = len(kept)
			kept = append(kept, l)
		case l.lastUpdated.After(kept[i].lastUpdated):
			m.duplicate(kept[i])
			kept[i] = l
		default:
			m.duplicate(l)
		}
	}
	return kept
}

// byResource groups lines by resource, each group with the latest first.
func (m *merge) byResource(lines []*importLine) [][]*importLine {
	sorted := slices.Clone(lines)
	slices.SortStableFunc(sorted, func(a, b *importLine) int {
		return cmp.Or(cmp.Compare(a.typ, b.typ), cmp.Compare(a.id, b.id), b.lastUpdated.Compare(a.lastUpdated))
	})
	var groups [][]*importLine
	for _, l := range sorted {
		if n := len(groups); n > 0 && groups[n-1][0].key() == l.key() {
			groups[n-1] = append(groups[n-1], l)
			continue
		}
		groups = append(groups, []*importLine{l})
	}
	return groups
}
