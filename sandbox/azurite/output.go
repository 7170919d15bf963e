package azurite

import (
	"bytes"
	"io"
	"regexp"
	"sync"
)

// listening is the line Azurite prints once a service's socket is bound; with port 0 it is the only place that tells the port.
var listening = regexp.MustCompile(`Azurite (Blob|Queue|Table) service is successfully listening at (http://127\.0\.0\.1:\d+)`)

// tailSize is how much of the end of the output an error quotes, in bytes.
const tailSize = 2000

// output reads what Azurite prints: finds the addresses, keeps the end for errors, passes everything on.
type output struct {
	log   io.Writer
	ready chan struct{} // closed when all three addresses are known

	mu        sync.Mutex
	text      []byte
	addresses map[string]string
}

func newOutput(log io.Writer) *output {
	if log == nil {
		log = io.Discard
	}
	return &output{log: log, ready: make(chan struct{}), addresses: map[string]string{}}
}

// Write never fails, so that a log that does cannot stop the emulator.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = o.log.Write(p)
	o.text = append(o.text, p...)
	if len(o.addresses) < 3 {
		for _, m := range listening.FindAllSubmatch(o.text[:bytes.LastIndexByte(o.text, '\n')+1], -1) {
			o.addresses[string(m[1])] = string(m[2])
		}
		if len(o.addresses) == 3 {
			close(o.ready)
		}
	}
	if len(o.addresses) == 3 && len(o.text) > tailSize {
		o.text = append(o.text[:0], o.text[len(o.text)-tailSize:]...)
	}
	return len(p), nil
}

func (o *output) address(service string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.addresses[service]
}

// tail is the end of what was printed, for an error message.
func (o *output) tail() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.TrimSpace(o.text[max(0, len(o.text)-tailSize):])
}
