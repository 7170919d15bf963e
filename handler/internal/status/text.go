package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// when is an instant as the page shows it: to the minute, in UTC.
func when(t time.Time) string {
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// whole is a number with separators.
func whole(n int64) string {
	text := strconv.FormatInt(n, 10)
	digits := strings.TrimPrefix(text, "-")
	var b strings.Builder
	b.WriteString(text[:len(text)-len(digits)])
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// many is a number with its noun.
func many(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return whole(n) + " " + more
}

// long is a duration in its two largest units.
func long(seconds float64) string {
	d := time.Duration(max(seconds, -seconds) * float64(time.Second)).Round(time.Second)
	sign := ""
	if seconds < 0 {
		sign = "−"
	}
	days, hours, minutes, secs := int64(d/(24*time.Hour)), int64(d/time.Hour)%24, int64(d/time.Minute)%60, int64(d/time.Second)%60
	switch {
	case days >= 10:
		return sign + many(days, "day", "days")
	case days > 0:
		return sign + many(days, "day", "days") + and(hours, "h")
	case hours > 0:
		return fmt.Sprintf("%s%d h%s", sign, hours, and(minutes, "min"))
	case minutes > 0:
		return fmt.Sprintf("%s%d min%s", sign, minutes, and(secs, "s"))
	}
	return fmt.Sprintf("%s%d s", sign, secs)
}

// and is the second unit of a duration, nothing when there are none of it.
func and(n int64, unit string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" %d %s", n, unit)
}

// percent is a share in whole hundredths, never 100 before it is.
func percent(share float64) string {
	n := int(share * 100)
	if share > 0 && n == 0 {
		return "< 1 %"
	}
	return strconv.Itoa(n) + " %"
}

// rounded is a number as far as it means something.
func rounded(n float64) string {
	switch {
	case n >= 1000:
		return whole(int64(n/100+0.5) * 100)
	case n >= 10 || n <= -10:
		return whole(int64(n + 0.5))
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}
