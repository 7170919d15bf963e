package status

import (
	"testing"
	"time"
)

func TestOverdue(t *testing.T) {
	t.Parallel()
	last := time.Date(2024, 5, 1, 12, 0, 10, 0, time.UTC)
	for schedule, want := range map[string]time.Time{
		"*/30 * * * * *":   last.Add(80 * time.Second),
		"*/5 * * * *":      last.Add(14*time.Minute + 50*time.Second),
		"0 0 * * * *":      last.Add(2*time.Hour + 59*time.Minute + 50*time.Second),
		"0 0 0 1 1 *":      time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		"0 0 9 * * Mon":    time.Date(2024, 5, 20, 9, 0, 0, 0, time.UTC),
		"00:00:00.5":       last.Add(1500 * time.Millisecond),
		"00:02:00":         last.Add(6 * time.Minute),
		"every now & then": {},
		"00:00:00":         {},
	} {
		got, ok := overdue(schedule, last)
		if !got.Equal(want) || ok == want.IsZero() {
			t.Errorf("%s: overdue from %s on (%t), want %s", schedule, got, ok, want)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		whole(3_000_000_000): "3,000,000,000", whole(999): "999", whole(-1234): "-1,234",
		long(59): "59 s", long(3599): "59 min 59 s", long(90061): "1 day 1 h", long(1200): "20 min", long(7200): "2 h", long(-30): "−30 s", long(20 * 86400): "20 days",
		percent(0.999): "99 %", percent(1): "100 %", percent(0.001): "< 1 %", percent(0): "0 %",
		many(1, "window", "windows"): "1 window", many(0, "window", "windows"): "0 windows",
		rounded(12345): "12,300", rounded(12.4): "12", rounded(1.25): "1.2",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
