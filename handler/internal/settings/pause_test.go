package settings

import (
	"fmt"
	"testing"
	"time"
)

// T21: the pause begins with the first nanosecond of its first hour and is over with the first of its last, in UTC wherever the host is.
func TestT21PauseHasExactEdges(t *testing.T) {
	t.Parallel()
	at := func(day, hour, minute int) time.Time { return time.Date(2024, 2, day, hour, minute, 0, 0, time.UTC) }
	before := func(t time.Time) time.Time { return t.Add(-time.Nanosecond) }
	berlin := time.FixedZone("", 3600)
	none := time.Time{}
	tests := []struct {
		start, end int
		now        time.Time
		until      time.Time // zero: no pause
	}{
		{8, 17, before(at(28, 8, 0)), none},
		{8, 17, at(28, 8, 0), at(28, 17, 0)},
		{8, 17, at(28, 12, 30), at(28, 17, 0)},
		{8, 17, before(at(28, 17, 0)), at(28, 17, 0)},
		{8, 17, at(28, 17, 0), none},
		{8, 17, at(28, 17, 30), none},
		{8, 17, at(28, 7, 59).In(berlin), none}, // 08:59 there
		{8, 17, at(28, 16, 30).In(berlin), at(28, 17, 0)},
		{22, 6, before(at(28, 22, 0)), none},
		{22, 6, at(28, 22, 0), at(29, 6, 0)},
		{22, 6, before(at(29, 0, 0)), at(29, 6, 0)},
		{22, 6, at(29, 0, 0), at(29, 6, 0)},
		{22, 6, before(at(29, 6, 0)), at(29, 6, 0)},
		{22, 6, at(29, 6, 0), none},
		{22, 6, at(29, 23, 0), at(30, 6, 0)}, // the 1st of March
		{22, 0, at(28, 23, 59), at(29, 0, 0)},
		{22, 0, at(29, 0, 0), none},
		{0, 23, at(28, 0, 0), at(28, 23, 0)},
		{0, 23, at(28, 23, 0), none},
		{23, 22, at(28, 22, 0), none},
		{23, 22, at(28, 23, 0), at(29, 22, 0)},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d-%d at %s", test.start, test.end, test.now.Format(time.RFC3339Nano)), func(t *testing.T) {
			t.Parallel()
			s, err := Load(good("AZURE_PauseDm=true", fmt.Sprintf("AZURE_StartTime=%d", test.start), fmt.Sprintf("AZURE_EndTime=%d", test.end)))
			if err != nil {
				t.Fatal(err)
			}
			paused, until := s.Paused(test.now)
			if paused != !test.until.IsZero() || !until.Equal(test.until) || until.Location() != time.UTC {
				t.Errorf("paused %v until %v, want %v", paused, until, test.until)
			}
			s.PauseDm = false
			if paused, until := s.Paused(test.now); paused || !until.IsZero() {
				t.Errorf("paused %v until %v without PauseDm", paused, until)
			}
		})
	}
}
