package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// timerNames are the timer functions, in the order in which they are shown.
var timerNames = []string{"ExportTimer", "ImportTimer", "VerifyTimer"}

// missedRuns of its schedule in a row say that a timer does not fire.
const missedRuns = 3

// overdue is the instant from which on a timer that last ticked at last has missed three runs of its schedule. ok is false when the
// schedule cannot be read, which the host says itself.
func overdue(schedule string, last time.Time) (_ time.Time, ok bool) {
	if every, err := timeSpan(schedule); err == nil {
		return last.Add(missedRuns * every), true
	}
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	s, err := parser.Parse(schedule)
	if err != nil {
		return time.Time{}, false
	}
	at := last.UTC()
	for range missedRuns {
		if at = s.Next(at); at.IsZero() {
			return at, false
		}
	}
	return at, true
}

// timeSpan reads the other form of a schedule, hh:mm:ss between two runs.
func timeSpan(schedule string) (time.Duration, error) {
	parts := strings.Split(schedule, ":")
	if len(parts) != 3 {
		return 0, fmt.Errorf("%q is no time span", schedule)
	}
	var d time.Duration
	for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second} {
		n, err := strconv.ParseFloat(parts[i], 64)
		if err != nil || n < 0 || n > 1e5 {
			return 0, fmt.Errorf("%q is no time span", schedule)
		}
		d += time.Duration(n * float64(unit))
	}
	if d == 0 {
		return 0, fmt.Errorf("%q is no time span", schedule)
	}
	return d, nil
}
