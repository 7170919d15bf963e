package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A chunk row without the column openWindows is one of the original: nobody has read yet what it left open. Survey reads the table
// "export" once for that, and Chunk.TakenOver notes what it found in one save, which is what ends a takeover: until then nothing
// else is done, and a handler that dies before begins it anew.
//
// What the rows of the original leave open, and how each is read:
//
//   - IsFirst is written when an export ends, so a row without it may be a window whose export runs. It is the row of a payload if
//     it has an ImportNo (a window's own row gets IsFirst before that).
//   - A failed export may have IsExportComplete set; IsExportRunning says that it failed.
//   - The watermark is moved before IsProcessed is set, so a row that ends at or before it was closed, whatever it says itself.
//   - Failed is written in two ways, "Failed" and "failed".

// Survey is what the rows of the original say.
type Survey struct {
	JobID       int
	PlannedTill time.Time
	Open        []OpenWindow         // not closed, of the original or of our own
	Repairs     []OpenWindow         // closed, or as good as, but with a payload that failed or lines that were refused, or are missing; by Since
	Holes       []Window             // planned windows, not inserted yet, for time behind the watermark that no row covers
	Reached     map[string]time.Time // by type, how far windows of it cover what lies behind PlannedTill without a hole
	Types       []string             // of the windows of the original in its last global window, without SearchParameter, which is migrated in another way
	ByType      bool                 // what is migrated up to PlannedTill was by type, and by the original alone: types that its list left out were not
	Figures     TakenOver
}

// TakenOver is what the chunk row keeps of a takeover, for whoever looks at it.
type TakenOver struct {
	At         time.Time `json:"at"`
	Complete   int       `json:"complete"`            // windows closed by the original that hide nothing
	Exported   int64     `json:"exported"`            // lines of those
	Imported   int64     `json:"imported"`            // lines of those
	Uncounted  int       `json:"uncounted,omitempty"` // those of them whose row has no figures: they are not in the two sums
	Superseded int       `json:"superseded,omitempty"`
	Open       int       `json:"open,omitempty"`
	Repairs    int       `json:"repairs,omitempty"`
}

// maxRepairs is how many closed windows the chunk row has room to list; it is beyond what any migration is known to have had.
const maxRepairs = 1_000

// Survey reads the rows of all windows and payloads, paged, and says what is open. Chunk is the row as it was read; byType says that the
// migration goes type by type, where the original's watermark is globalSinceExportType.
func (l *Ledger) Survey(ctx context.Context, c Chunk, byType bool, now time.Time) (Survey, error) {
	if c.Watermark.IsZero() || byType && c.Original.Since.After(c.Watermark) {
		c.Watermark = c.Original.Since
	}
	var attempts []attempt
	payloads := map[string]*payloadFigures{} // by export id
	err := l.originalRows(ctx, l.rowKey, func(key string, w Window, isWindow bool) {
		if !isWindow {
			f := payloads[w.ExportID]
			if f == nil {
				f = &payloadFigures{}
				payloads[w.ExportID] = f
			}
			f.add(w)
			return
		}
		number, err := strconv.ParseInt(strings.TrimPrefix(key, l.rowKey), 10, 32)
		if err == nil {
			w.Number = int(number)
			attempts = append(attempts, attemptOf(w))
		}
	})
	if err != nil {
		return Survey{}, fmt.Errorf("take over: %w", err)
	}
	for i := range attempts {
		if f := payloads[attempts[i].export]; f != nil && attempts[i].export != "" && !attempts[i].ours {
			attempts[i].with(*f)
		}
	}
	s, err := survey(c, attempts, now)
	s.ByType = !c.Given.any() && !c.Original.none() && byTypeAlone(attempts, c.Watermark)
	return s, err
}

// byTypeAlone says whether time before the watermark was exported type by type, and not as a whole too. The original writes the same columns in both
// modes, so its windows have to tell; one that went by type and found nothing has none.
func byTypeAlone(attempts []attempt, watermark time.Time) bool {
	var whole, typed []attempt
	for _, a := range attempts {
		switch {
		case a.failed:
		case a.typ == "":
			whole = append(whole, a)
		case a.since.Before(watermark):
			typed = append(typed, a)
		}
	}
	slices.SortFunc(whole, func(a, b attempt) int { return a.since.Compare(b.since) })
	return len(whole) == 0 || slices.ContainsFunc(typed, func(a attempt) bool {
		at := a.since
		for _, w := range whole {
			if !w.since.After(at) && w.till.After(at) {
				at = w.till
			}
		}
		return at.Before(a.till) && at.Before(watermark)
	})
}

// survey decides on the attempts. The newest of those that overlap counts; the others were tried again.
func survey(c Chunk, attempts []attempt, now time.Time) (Survey, error) {
	s := Survey{JobID: c.JobID, Figures: TakenOver{At: now.UTC().Truncate(time.Second)}}
	slices.SortFunc(attempts, func(a, b attempt) int { return b.number - a.number })
	taken := map[string]*spans{}
	var standing []attempt
	for _, a := range attempts {
		s.JobID = max(s.JobID, a.number+1)
		if a.typ != "" && a.typ != "SearchParameter" && !a.ours && !a.till.Before(c.Original.Since) && !slices.Contains(s.Types, a.typ) {
			s.Types = append(s.Types, a.typ)
		}
		byType := taken[a.typ]
		if byType == nil {
			byType = &spans{}
			taken[a.typ] = byType
		}
		if a.failed || !byType.add(a.since, a.till) {
			s.Figures.Superseded++
			continue
		}
		standing = append(standing, a)
	}
	slices.SortFunc(standing, func(a, b attempt) int { return a.since.Compare(b.since) })
	for _, a := range standing {
		closed := !c.Watermark.IsZero() && !a.till.After(c.Watermark)
		o := OpenWindow{Number: a.number, Since: a.since}
		switch {
		case a.ours && !a.done:
			s.Open = append(s.Open, o)
		case a.ours: // its numbers are in the totals
		case (a.suspect || a.short()) && (a.done || closed), closed && !a.done:
			s.Repairs = append(s.Repairs, o)
		case a.done:
			s.Figures.add(a)
		default:
			s.Open = append(s.Open, o)
		}
	}
	if len(s.Repairs) > maxRepairs {
		return s, fmt.Errorf("take over: %d closed windows have payloads that failed, or lines that were refused or not imported, more than the %d that can be listed: begin a new migration with new table names", len(s.Repairs), maxRepairs)
	}
	s.Figures.Open, s.Figures.Repairs = len(s.Open), len(s.Repairs)
	s.plan(c.Watermark, standing)
	return s, nil
}

// plan finds up to where everything is covered by a window, from the watermark on or, without one, from the oldest window on.
func (s *Survey) plan(watermark time.Time, standing []attempt) {
	s.PlannedTill = watermark
	for _, a := range standing {
		if s.PlannedTill.IsZero() {
			s.PlannedTill = a.since
		}
		if a.typ != "" { // a window of one type covers nothing of the others
			if from := s.reachedBy(a.typ); !a.since.After(from) && a.till.After(from) {
				s.Reached[a.typ] = a.till
			}
			continue
		}
		if a.since.After(s.PlannedTill) { // behind a window that another handler of ours held back
			s.Holes = append(s.Holes, NewWindow(s.JobID+len(s.Holes), s.PlannedTill, a.since))
		}
		if a.till.After(s.PlannedTill) {
			s.PlannedTill = a.till
		}
	}
}

// reachedBy is how far a type is covered, as far as that is known by now.
func (s *Survey) reachedBy(typ string) time.Time {
	if s.Reached == nil {
		s.Reached = map[string]time.Time{}
	}
	if at, ok := s.Reached[typ]; ok {
		return at
	}
	return s.PlannedTill
}

func (t *TakenOver) add(a attempt) {
	t.Complete++
	if !a.counted {
		t.Uncounted++
		return
	}
	t.Exported, t.Imported = t.Exported+a.exported, t.Imported+a.imported
}

// spans are stretches of time that do not overlap, in their order.
type spans struct{ all [][2]time.Time }

// add adds one. It returns false, and adds nothing, when it overlaps one that is there.
func (s *spans) add(since, till time.Time) bool {
	i, _ := slices.BinarySearchFunc(s.all, since, func(span [2]time.Time, t time.Time) int { return span[0].Compare(t) })
	if i < len(s.all) && s.all[i][0].Before(till) || i > 0 && s.all[i-1][1].After(since) {
		return false
	}
	s.all = slices.Insert(s.all, i, [2]time.Time{since, till})
	return true
}

// TakenOver notes what a survey found. ok is false when somebody has taken the migration over.
func (c Chunk) TakenOver(s Survey) (_ Chunk, ok bool) {
	if !c.Foreign {
		return c, false
	}
	c.Foreign = false
	c.JobID, c.PlannedTill = s.JobID, s.PlannedTill
	c.Open, c.Repairs, c.Takeover = slices.Clone(s.Open), slices.Clone(s.Repairs), s.Figures
	for _, h := range s.Holes {
		c.JobID = max(c.JobID, h.Number+1)
		c.Open = append(c.Open, OpenWindow{Number: h.Number, Since: h.Since})
	}
	return c.watermarked(), true
}

// Reopened lists a window that the original had closed and that is to be repaired. ok is false when it is listed, or was.
func (c Chunk) Reopened(number int) (_ Chunk, ok bool) {
	i := slices.IndexFunc(c.Repairs, func(o OpenWindow) bool { return o.Number == number })
	if i < 0 {
		return c, false
	}
	c.Open = append(slices.Clone(c.Open), c.Repairs[i])
	c.Repairs = slices.Delete(slices.Clone(c.Repairs), i, i+1)
	return c.watermarked(), true
}

// repairList is a list of windows in a form that is short enough for a thousand of them: pairs of number and milliseconds.
type repairList []OpenWindow

// MarshalJSON implements json.Marshaler.
func (r repairList) MarshalJSON() ([]byte, error) {
	pairs := make([][2]int64, len(r))
	for i, o := range r {
		pairs[i] = [2]int64{int64(o.Number), o.Since.UnixMilli()}
	}
	return json.Marshal(pairs)
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *repairList) UnmarshalJSON(text []byte) error {
	var pairs [][2]int64
	if err := json.Unmarshal(text, &pairs); err != nil {
		return err
	}
	*r = make(repairList, len(pairs))
	for i, p := range pairs {
		(*r)[i] = OpenWindow{Number: int(p[0]), Since: time.UnixMilli(p[1]).UTC()}
	}
	return nil
}
