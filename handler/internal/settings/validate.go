package settings

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checker looks at every setting, normalises it in place and collects what is wrong.
type checker struct {
	settings *Settings
	given    map[string]string // what the environment gives, by field.variable
	problems []problem
}

func (c *checker) all() {
	c.services()
	c.storage()
	c.keys()
	c.dates()
	c.numbers()
	c.pause()
	c.types()
	c.modes()
	c.deletes()
	c.tenant()
	c.userAgent()
}

// wrong records a problem with a setting; the text follows the setting's name. Only the first problem of a setting
// counts: a value that could not even be read has left a default behind about which there is nothing to say.
func (c *checker) wrong(setting, format string, args ...any) {
	if c.unsound(setting) {
		return
	}
	c.problems = append(c.problems, problem{setting, prefix + setting + " " + fmt.Sprintf(format, args...)})
}

// unsound says whether one of the settings already has a problem.
func (c *checker) unsound(settings ...string) bool {
	return slices.ContainsFunc(c.problems, func(p problem) bool { return slices.Contains(settings, p.setting) })
}

// Azure's naming rules for tables, https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
var tableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{2,62}$`)

func (c *checker) keys() {
	s := c.settings
	c.table("ExportTableName", s.ExportTableName)
	c.table("ChunkTableName", s.ChunkTableName)
	c.table("ExceptionTableName", s.ExceptionTableName)
	if strings.EqualFold(s.ExportTableName, s.ChunkTableName) {
		c.wrong("ChunkTableName", "is the same as %sExportTableName: give the two tables different names", prefix)
	}
	if strings.EqualFold(s.ExceptionTableName, s.ExportTableName) || strings.EqualFold(s.ExceptionTableName, s.ChunkTableName) {
		c.wrong("ExceptionTableName", "is the name of another table: give each its own")
	}
	c.key("PartitionKey", s.PartitionKey)
	rows := []struct{ setting, key string }{{"RowKey", s.RowKey}, {"SurfaceRowKey", s.SurfaceRowKey}, {"DeepRowKey", s.DeepRowKey}}
	for i, row := range rows {
		c.key(row.setting, row.key)
		for _, other := range rows[:i] {
			if meet(row.key, other.key) {
				c.wrong(row.setting, "is %q and %s%s %q: rows of both could have the same key, give it another beginning", row.key, prefix, other.setting, other.key)
			}
		}
	}
}

// meet says whether two prefixes of numbered rows can make the same key.
func meet(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	rest, begins := strings.CutPrefix(b, a)
	return begins && strings.Trim(rest, "0123456789") == ""
}

func (c *checker) table(setting, name string) {
	if !tableName.MatchString(name) || strings.EqualFold(name, "tables") {
		c.wrong(setting, "is %q: a table's name has 3 to 63 letters and digits, begins with a letter, and is not \"tables\"", name)
	}
}

func (c *checker) key(setting, key string) {
	if strings.ContainsFunc(key, notInKey) {
		c.wrong(setting, "is %q: a table key may not hold / \\ # ? or control characters", key)
	}
	if len(key) > maxKey {
		c.wrong(setting, "is %d bytes long: use at most %d, so that row numbers still fit behind it", len(key), maxKey)
	}
}

// maxKey leaves room for a row number and an export id within the 1 KiB that a key may take.
const maxKey = 256

func notInKey(r rune) bool {
	return strings.ContainsRune(`/\#?`, r) || r < 0x20 || (r >= 0x7f && r <= 0x9f)
}

func (c *checker) dates() {
	s := c.settings
	if s.SpecificRun && s.EndDate.IsZero() && !c.unsound("EndDate") {
		c.wrong("SpecificRun", "is true without %[1]sEndDate: set %[1]sEndDate to where the run ends", prefix)
	}
	if !s.StartDate.IsZero() && !s.EndDate.IsZero() && !s.EndDate.After(s.StartDate) {
		c.wrong("EndDate", "(%s) is not after %sStartDate (%s): set a later end or an earlier start",
			s.EndDate.Format(time.RFC3339Nano), prefix, s.StartDate.Format(time.RFC3339Nano))
	}
}

func (c *checker) userAgent() {
	if agent := c.settings.UserAgent; len(agent) > 256 || strings.ContainsFunc(agent, notInHeader) {
		c.wrong("UserAgent", "cannot be sent as a header: use at most 256 printable ASCII characters")
	}
}

func notInHeader(r rune) bool { return r < 0x20 || r > 0x7e }

// longestChunk bounds a window's length, far below what a time.Duration holds.
const longestChunk = 36500 * 24 * time.Hour

func (c *checker) numbers() {
	s := c.settings
	c.bounded()
	if !c.unsound("ExportChunkDuration") {
		longest := int64(longestChunk / s.ExportChunkDuration.length())
		c.between("ExportChunkTime", int64(s.ExportChunkTime), 1, longest)
		c.between("ResourceExportChunkTime", int64(s.ResourceExportChunkTime), 1, longest)
	}
	c.minutes("ScheduleInterval", s.ScheduleInterval, time.Millisecond)
	c.minutes("FunctionTimeoutMinutes", s.FunctionTimeoutMinutes, time.Second)
	if s.MaxOpenWindows == 0 {
		s.MaxOpenWindows = min(2*(s.MaxParallelExports+s.PayloadCount), maxOpenWindows)
	}
}

// maxOpenWindows is the upper bound of MaxOpenWindows: it keeps the list of open windows within one string of the chunk row.
const maxOpenWindows = 200

// bounded holds every whole number against the bounds in its tags.
func (c *checker) bounded() {
	value := reflect.ValueOf(c.settings).Elem()
	for _, f := range fields() {
		if f.tag("max") == "" {
			continue
		}
		low, errLow := strconv.ParseInt(f.tag("min"), 10, 64)
		high, errHigh := strconv.ParseInt(f.tag("max"), 10, 64)
		if err := errors.Join(errLow, errHigh); err != nil { // unreachable unless a tag in the struct is broken
			c.wrong(f.name, "has bounds that cannot be read: %v", err)
			continue
		}
		c.between(f.name, value.Field(f.index).Int(), low, high)
	}
}

func (c *checker) between(name string, value, low, high int64) {
	if value < low || value > high {
		c.wrong(name, "is %d: set it to %d at least and %d at most", value, low, high)
	}
}

// minutes checks a number of minutes, fractions allowed: shortest at least and a day at most.
func (c *checker) minutes(name string, value float64, shortest time.Duration) {
	if math.IsNaN(value) || value < shortest.Minutes() || value > 24*60 {
		c.wrong(name, "is %v minutes: set it to more than 0 (%v at least) and 1440 at most", value, shortest)
	}
}
