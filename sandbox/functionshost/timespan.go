package functionshost

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// timeSpan is .NET's constant format of a TimeSpan, as far as host.json and schedules use it: [d.]hh:mm[:ss[.fffffff]].
var timeSpan = regexp.MustCompile(`^(?:(\d{1,8})\.)?(\d{1,8}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?$`)

// parseTimeSpan reads a .NET TimeSpan that is not negative. A first number of 24 or more in a text without days is a number of days, as in .NET:
// "24:00:00" is 24 days.
func parseTimeSpan(text string) (time.Duration, error) {
	m := timeSpan.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("time span %q: want hh:mm:ss or d.hh:mm:ss", text)
	}
	days, hours, minutes, seconds := number(m[1]), number(m[2]), number(m[3]), number(m[4])
	if m[1] == "" && hours >= 24 {
		if m[5] != "" {
			return 0, fmt.Errorf("time span %q: from 24 on the first number counts days, and d:hh:mm takes no fraction", text)
		}
		days, hours, minutes, seconds = hours, minutes, seconds, 0
	}
	if hours > 23 || minutes > 59 || seconds > 59 {
		return 0, fmt.Errorf("time span %q: a part is out of range (hours to 23, minutes and seconds to 59)", text)
	}
	if days > 100_000 { // a Duration ends at 292 years
		return 0, fmt.Errorf("time span %q: more than 100,000 days", text)
	}
	total := time.Duration(days)*24*time.Hour + time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second
	ticks := number((m[5] + "0000000")[:7]) // of 100 ns
	return total + time.Duration(ticks)*100, nil
}

// number reads digits that the expression above has bounded; no digits are zero.
func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}

// formatTimeSpan writes a duration as .NET prints it in messages: 00:10:00, 1.02:00:00, 00:00:00.5000000.
func formatTimeSpan(d time.Duration) string {
	days, rest := d/(24*time.Hour), d%(24*time.Hour)
	text := fmt.Sprintf("%02d:%02d:%02d", rest/time.Hour, rest%time.Hour/time.Minute, rest%time.Minute/time.Second)
	if days > 0 {
		text = fmt.Sprintf("%d.%s", days, text)
	}
	if fraction := rest % time.Second; fraction > 0 {
		text += fmt.Sprintf(".%07d", fraction/100)
	}
	return text
}
