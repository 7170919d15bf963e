package functionshost

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// The levels and the categories of the host's log that are used here.
const (
	information = "Information"
	warning     = "Warning"
	errorLevel  = "Error"

	consoleCategory = "Host.Function.Console"
	hostCategory    = "Host.General"
)

// console writes the host's log: one line an event, `time [Level] Category: text`.
type console struct {
	clock         func() time.Time
	stderrIsError bool

	mu  sync.Mutex
	out io.Writer
}

func (c *console) log(level, category, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A log that cannot be written must not stop the host.
	_, _ = fmt.Fprintf(c.out, "%s [%s] %s: %s\n", c.clock().UTC().Format("2006-01-02T15:04:05.000Z"), level, category, text)
}

func (c *console) hostf(level, format string, args ...any) {
	c.log(level, hostCategory, fmt.Sprintf(format, args...))
}

type streamKind bool

const (
	stdoutStream streamKind = false
	stderrStream streamKind = true
)

// stream takes one of the handler's output streams and logs it line by line. Lines are text to the host, JSON or not.
type stream struct {
	console *console
	kind    streamKind

	mu      sync.Mutex
	pending []byte
	errors  []string // the last three lines that were errors
}

func (c *console) stream(kind streamKind) *stream { return &stream{console: c, kind: kind} }

// longestLine bounds what is kept of a line that does not end, in bytes.
const longestLine = 1 << 20

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, p...)
	for {
		end := bytes.IndexByte(s.pending, '\n')
		if end < 0 && len(s.pending) < longestLine {
			return len(p), nil
		}
		if end < 0 {
			end = len(s.pending) - 1
		}
		s.line(string(bytes.TrimRight(s.pending[:end+1], "\r\n")))
		s.pending = s.pending[end+1:]
	}
}

// flush logs what the handler wrote after its last line end.
func (s *stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) > 0 {
		s.line(string(s.pending))
		s.pending = nil
	}
}

func (s *stream) line(text string) {
	if rest, ok := strings.CutPrefix(text, "LanguageWorkerConsoleLog"); ok {
		s.console.log(information, "Worker.HttpWorkerProcess", rest)
		return
	}
	level := s.console.level(s.kind, text)
	if level == errorLevel {
		s.errors = append(s.errors, text)
		s.errors = s.errors[max(0, len(s.errors)-3):]
	}
	s.console.log(level, consoleCategory, text)
}

// level is the host's: stdout informs; stderr is an error unless it speaks of a warning; with useStdErrorStreamForErrorsOnly off, stderr is an
// error only when it says so.
func (c *console) level(kind streamKind, text string) string {
	lower := strings.ToLower(text)
	has := func(word string) bool { return strings.Contains(lower, word) }
	switch {
	case kind == stdoutStream:
		return information
	case !c.stderrIsError:
		if slices.ContainsFunc([]string{"error", "fail", "severe", "unhandled exception"}, has) {
			return errorLevel
		}
		return information
	case has("warn"):
		return warning
	}
	return errorLevel
}

func (s *stream) lastErrors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.errors)
}
