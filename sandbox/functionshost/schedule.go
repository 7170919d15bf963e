package functionshost

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// schedule says when a timer fires. All times are UTC: the host's local time zone is UTC on Linux plans unless it is set otherwise.
type schedule interface {
	next(after time.Time) time.Time // the first occurrence after a moment; zero when there is none
	adjustsForDST() bool            // what the envelope says of it: true for cron expressions, false for intervals
}

// parseSchedule reads an NCRONTAB expression of six fields (or five, without seconds) or a TimeSpan.
func parseSchedule(text string) (schedule, error) {
	if !strings.ContainsAny(strings.TrimSpace(text), " \t") {
		d, err := parseTimeSpan(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("schedule %q: want six cron fields (second minute hour day month weekday) or a time span hh:mm:ss", text)
		}
		if d <= 0 {
			return nil, fmt.Errorf("schedule %q: an interval must be longer than zero", text)
		}
		return interval(d), nil
	}
	fields := strings.Fields(text)
	if len(fields) == 5 {
		fields = append([]string{"0"}, fields...)
	}
	if len(fields) != 6 {
		return nil, fmt.Errorf("schedule %q: has %d fields, want six (second minute hour day month weekday)", text, len(fields))
	}
	for i, f := range fields {
		translated, err := translateField(f)
		if err != nil {
			return nil, fmt.Errorf("schedule %q: %w", text, err)
		}
		fields[i] = translated
	}
	parser := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	parsed, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", text, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("schedule %q: is no cron expression", text)
	}
	// Unix cron fires when the day of the month OR the weekday matches, NCRONTAB when both do. The library does that when it believes that
	// one of them was written with a star, which it notes in the top bit.
	spec.Dom |= 1 << 63
	spec.Location = time.UTC
	return cronSchedule{spec}, nil
}

// cronPart is one item of a field's list: a star, or a value or range, with or without a step.
var cronPart = regexp.MustCompile(`^(\*|[0-9]+|[A-Za-z]{3,9})(-([0-9]+|[A-Za-z]{3,9}))?(/[0-9]+)?$`)

// translateField turns what NCRONTAB allows and the library does not (full names of months and days) into what both know, and refuses what
// only the library allows ("?", a time zone).
func translateField(field string) (string, error) {
	parts := strings.Split(field, ",")
	for i, part := range parts {
		m := cronPart.FindStringSubmatch(part)
		if m == nil || m[1] == "*" && m[2] != "" {
			return "", fmt.Errorf("%q is no cron field", field)
		}
		parts[i] = shortName(m[1])
		if m[3] != "" {
			parts[i] += "-" + shortName(m[3])
		}
		parts[i] += m[4]
	}
	return strings.Join(parts, ","), nil
}

// fullNames are the names that NCRONTAB takes beside their first three letters.
const fullNames = " january february march april may june july august september october november december" +
	" sunday monday tuesday wednesday thursday friday saturday "

func shortName(name string) string {
	if strings.Contains(fullNames, " "+strings.ToLower(name)+" ") {
		return name[:3]
	}
	return name
}

type cronSchedule struct{ spec *cron.SpecSchedule }

func (c cronSchedule) next(after time.Time) time.Time {
	// The library looks five years ahead. A 29 February that must be a Sunday comes every 28 years, or 40 over a century.
	for range 9 {
		if t := c.spec.Next(after.UTC()); !t.IsZero() {
			return t
		}
		after = after.AddDate(5, 0, 0)
	}
	return time.Time{}
}

func (cronSchedule) adjustsForDST() bool { return true }

// interval is a schedule that fires a fixed time after its last run began.
type interval time.Duration

func (i interval) next(after time.Time) time.Time { return after.Add(time.Duration(i)) }

func (interval) adjustsForDST() bool { return false }

// subMinute says whether two occurrences follow each other within a minute. The host does not keep a status for such timers.
func subMinute(s schedule, now time.Time) bool {
	first := s.next(now)
	second := s.next(first)
	return !second.IsZero() && second.Sub(first) < time.Minute
}
