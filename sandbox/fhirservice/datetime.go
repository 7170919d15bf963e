package fhirservice

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// period is the span of time that a FHIR partial date-time means: a year, a month, a day, a minute, a second, or one instant when there is a fraction.
// Both ends belong to it. The service counts in ticks of 100 ns.
type period struct{ start, end time.Time }

const tick = 100 * time.Nanosecond

var partialDateTime = regexp.MustCompile(
	`^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(\.\d{1,7})?)?(Z|[+-]\d{2}:\d{2})?)?)?)?$`)

// parsePeriod reads a year, year-month, date, or date-time with minutes, optional seconds, up to 7 fraction digits and an optional zone; without zone: UTC.
func parsePeriod(s string) (period, error) {
	m := partialDateTime.FindStringSubmatch(s)
	if m == nil {
		return period{}, fmt.Errorf("%q is not a FHIR date-time: write it like 2024-05-01T10:00:00.000Z, with + as %%2B in a URL", s)
	}
	n := func(i, missing int) int {
		if m[i] == "" {
			return missing
		}
		v, _ := strconv.Atoi(m[i]) // two or four digits by the pattern
		return v
	}
	year, month, day, hour, minute, second := n(1, 1), n(2, 1), n(3, 1), n(4, 0), n(5, 0), n(6, 0)
	zone, err := parseZone(m[8])
	if err != nil {
		return period{}, err
	}
	nanos := 0
	if m[7] != "" {
		digits := m[7][1:] + strings.Repeat("0", 9-len(m[7][1:]))
		nanos, _ = strconv.Atoi(digits)
	}
	start := time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone)
	if year < 1 || start.Month() != time.Month(month) || start.Day() != day || hour > 23 || minute > 59 || second > 59 {
		return period{}, fmt.Errorf("%q is not a date that exists", s)
	}
	return period{start: start.UTC(), end: periodEnd(start, m).UTC()}, nil
}

func parseZone(s string) (*time.Location, error) {
	if s == "" || s == "Z" {
		return time.UTC, nil
	}
	hours, _ := strconv.Atoi(s[1:3])
	minutes, _ := strconv.Atoi(s[4:6])
	if hours > 14 || minutes > 59 {
		return nil, fmt.Errorf("%q is not an offset from UTC", s)
	}
	seconds := hours*3600 + minutes*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), nil
}

// periodEnd is the last tick of the period that starts at start; m tells how much of the date-time was written.
func periodEnd(start time.Time, m []string) time.Time {
	switch {
	case m[7] != "":
		return start
	case m[6] != "":
		return start.Add(time.Second - tick)
	case m[4] != "":
		return start.Add(time.Minute - tick)
	case m[3] != "":
		return start.AddDate(0, 0, 1).Add(-tick)
	case m[2] != "":
		return start.AddDate(0, 1, 0).Add(-tick)
	default:
		return start.AddDate(1, 0, 0).Add(-tick)
	}
}
