package functionshost

import (
	"strings"
	"testing"
	"time"
)

func TestScheduleNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schedule, after, want string }{
		{"0 */5 * * * *", "2026-01-05T10:00:00Z", "2026-01-05T10:05:00Z"},
		{"*/30 * * * * *", "2026-01-05T10:00:00.5Z", "2026-01-05T10:00:30Z"},
		{"*/5 * * * *", "2026-01-05T10:01:00Z", "2026-01-05T10:05:00Z"}, // five fields
		{"0 30 9 * * Mon-Fri", "2026-01-09T09:30:00Z", "2026-01-12T09:30:00Z"},
		{"0 0 9 * January Monday,3", "2026-01-05T09:00:00Z", "2026-01-07T09:00:00Z"},
		{"0 0 0 * * 0", "2026-01-05T00:00:00Z", "2026-01-11T00:00:00Z"},         // 0 is Sunday
		{"0 0 0 13 * 5", "2026-01-05T00:00:00Z", "2026-02-13T00:00:00Z"},        // both must match
		{"0 0 0 29 2 Sun", "2026-01-05T00:00:00Z", "2032-02-29T00:00:00Z"},      // more than five years away
		{"0 0 8 * * *", "2026-01-05T10:30:00+02:00", "2026-01-06T08:00:00Z"},    // UTC
		{"0 5/20 * * * *", "2026-01-05T10:00:00Z", "2026-01-05T10:05:00Z"},      // from 5 on, every 20
		{"0 5/20 * * * *", "2026-01-05T10:45:00Z", "2026-01-05T11:05:00Z"},      // and again in the next hour
		{"00:00:30", "2026-01-05T10:00:00.25Z", "2026-01-05T10:00:30.25Z"},      // intervals
		{"1.00:00:00.5", "2026-01-05T10:00:00Z", "2026-01-06T10:00:00.5Z"},      //
		{"00:00:00.0500000", "2026-01-05T10:00:00Z", "2026-01-05T10:00:00.05Z"}, // ticks of 100 ns
	} {
		s, err := parseSchedule(c.schedule)
		if err != nil {
			t.Errorf("%s: %v", c.schedule, err)
			continue
		}
		if got := s.next(at(t, c.after)); !got.Equal(at(t, c.want)) {
			t.Errorf("%s after %s: got %s, want %s", c.schedule, c.after, got.Format(time.RFC3339Nano), c.want)
		}
	}
}

func TestScheduleThatNeverComes(t *testing.T) {
	t.Parallel()
	s, err := parseSchedule("0 0 0 30 2 *")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.next(at(t, "2026-01-05T10:00:00Z")); !got.IsZero() {
		t.Errorf("30 February is %s", got)
	}
}

func TestBadSchedules(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "never", "* * * *", "* * * * * * *", "60 * * * * *", "0 0 0 * * 7", "0 0 0 ? * *", "TZ=UTC 0 0 0 * *", "@daily", "0 0 0 L * *",
		"0 */0 * * * *", "00:00:00", "-00:00:10", "00:60:00", "00:00", "5m",
	} {
		if s, err := parseSchedule(text); err == nil {
			t.Errorf("%q is taken for a schedule: %v", text, s)
		} else if !strings.Contains(err.Error(), text) {
			t.Errorf("%q: the error does not quote it: %v", text, err)
		}
	}
}

func TestTimeSpans(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"00:10:00": 10 * time.Minute, "00:00:30": 30 * time.Second, "01:30": 90 * time.Minute, "23:59:59": 24*time.Hour - time.Second,
		"1.02:03:04": 26*time.Hour + 3*time.Minute + 4*time.Second, "00:00:00.1": 100 * time.Millisecond, "00:00:00.0000001": 100,
		"24:00:00": 24 * 24 * time.Hour, // days, as in .NET
	} {
		if got, err := parseTimeSpan(text); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "00:00:60", "1.24:00:00", "24:00:00.5", "00:00:00.12345678", "999999.00:00:00", " 00:00:01"} {
		if got, err := parseTimeSpan(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
	for want, d := range map[string]time.Duration{
		"00:10:00": 10 * time.Minute, "1.02:00:00": 26 * time.Hour, "00:00:00.5000000": 500 * time.Millisecond,
	} {
		if got := formatTimeSpan(d); got != want {
			t.Errorf("%s is written %s, want %s", d, got, want)
		}
	}
}

// Section 5: the status is kept only for timers that fire at most once a minute.
func TestSubMinute(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"*/30 * * * * *": true, "0,10 0 5 * * *": true, "00:00:59": true,
		"0 * * * * *": false, "0 */5 * * * *": false, "00:01:00": false,
	} {
		s, err := parseSchedule(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, now := range []string{"2026-01-05T10:00:00Z", "2026-01-05T10:00:30Z", "2026-01-05T10:00:45.5Z"} {
			if got := subMinute(s, at(t, now)); got != want {
				t.Errorf("%s at %s: %v, want %v", text, now, got, want)
			}
		}
	}
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}
