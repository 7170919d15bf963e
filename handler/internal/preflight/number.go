package preflight

import (
	"bytes"
	"strconv"
	"strings"
)

// wholeDigits are those before the point of decimal(36,18).
const wholeDigits = 18

// overflow returns the first number of a line of JSON that is 10^18 or more, whatever its sign, "" when there is none. Not every
// number of a resource is indexed; which are depends on the search parameters, so each one counts. The line is valid JSON.
func overflow(line []byte) string {
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			i = endOfString(line, i)
		case c >= '0' && c <= '9':
			end := i
			for end < len(line) && bytes.IndexByte([]byte("0123456789.eE+-"), line[end]) >= 0 {
				end++
			}
			if overflows(string(line[i:end])) {
				return string(line[i:end])
			}
			i = end - 1
		}
	}
	return ""
}

// endOfString is where the string that begins at i ends.
func endOfString(line []byte, i int) int {
	for i++; i < len(line) && line[i] != '"'; i++ {
		if line[i] == '\\' {
			i++
		}
	}
	return i
}

// overflows says whether a number of JSON, without its sign, is 10^18 or more. It counts digits: a float64 is not exact there.
func overflows(number string) bool {
	mantissa, power := number, 0
	if e := strings.IndexAny(number, "eE"); e >= 0 {
		mantissa = number[:e]
		var err error
		if power, err = strconv.Atoi(number[e+1:]); err != nil { // more than an int can hold
			return !strings.HasPrefix(number[e+1:], "-") && strings.Trim(mantissa, "0.") != ""
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if significant := strings.TrimLeft(whole, "0"); significant != "" {
		return len(significant)+power > wholeDigits
	}
	significant := strings.TrimLeft(fraction, "0")
	return significant != "" && power-(len(fraction)-len(significant)) > wholeDigits
}
