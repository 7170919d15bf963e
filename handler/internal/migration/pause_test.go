package migration

import (
	"bytes"
	"errors"
	"testing"
	"testing/iotest"
	"time"

	"fhirmigration/handler/internal/settings"
)

// Windows that failed together do not come back together: chance shortens the pause by up to a quarter, and the pause is the same for
// the same chance.
func TestPausesDifferByChance(t *testing.T) {
	t.Parallel()
	pause := func(attempts int, chance ...byte) time.Duration {
		random := iotest.ErrReader(errors.New("no chance"))
		if len(chance) > 0 {
			random = bytes.NewReader(chance)
		}
		m := New(Options{Settings: settings.Settings{ScheduleInterval: 2}, Clock: func() time.Time { return start }, Random: random})
		return m.nextAttempt(attempts).Sub(start)
	}
	for _, c := range []struct {
		attempts int
		chance   []byte
		want     time.Duration
	}{
		{3, []byte{0}, 16 * time.Minute},
		{3, []byte{128}, 14 * time.Minute},
		{3, []byte{128}, 14 * time.Minute},
		{3, []byte{255}, 16*time.Minute - 4*time.Minute*255/256},
		{3, nil, 16 * time.Minute},
		{0, []byte{255}, 2 * time.Minute}, // never sooner than a job is polled
		{40, []byte{0}, time.Hour},
		{1 << 30, []byte{128}, time.Hour - 15*time.Minute/2},
	} {
		if got := pause(c.attempts, c.chance...); got != c.want {
			t.Errorf("after %d attempts, chance %v: a pause of %s, want %s", c.attempts, c.chance, got, c.want)
		}
	}
}
