package fhir

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadBundle(t *testing.T) {
	t.Parallel()
	entries := func(n int) string {
		return strings.TrimSuffix(strings.Repeat(`{"resource":{"resourceType":"Patient","id":"a","deep":{"b":[1,{"c":"]}"}]}}},`, n), ",")
	}
	for _, test := range []struct {
		name, text string
		entries    int
		next       string
		bad        bool
	}{
		{name: "links first", text: `{"resourceType":"Bundle","link":[{"relation":"next","url":"n"},{"relation":"self","url":"s"}],"entry":[` + entries(3) + `]}`, entries: 3, next: "n"},
		{name: "links last", text: `{"entry":[` + entries(2) + `],"link":[{"relation":"next","url":"n"}],"resourceType":"Bundle"}`, entries: 2, next: "n"},
		{name: "unknown members", text: `{"resourceType":"Bundle","meta":{"a":[{}]},"x":null,"entry":[]}`},
		{name: "next without url", text: `{"resourceType":"Bundle","link":[{"relation":"next"}]}`, bad: true},
		{name: "entry not a list", text: `{"resourceType":"Bundle","entry":{}}`, bad: true},
		{name: "link not a list", text: `{"resourceType":"Bundle","link":"next"}`, bad: true},
		{name: "type not a text", text: `{"resourceType":7}`, bad: true},
		{name: "missing type", text: `{"entry":[` + entries(1) + `]}`, entries: 1, bad: true},
		{name: "ends in an entry", text: `{"resourceType":"Bundle","entry":[` + entries(1) + `,{"reso`, entries: 1, bad: true},
		{name: "ends after an entry", text: `{"resourceType":"Bundle","entry":[` + entries(1), entries: 1, bad: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for way, r := range map[string]io.Reader{"whole": strings.NewReader(test.text), "byte by byte": iotest.OneByteReader(strings.NewReader(test.text))} {
				got := 0
				p, err := readBundle(r, maxBundle, func(entry) error { got++; return nil })
				var not notBundle
				if got != test.entries || p.next != test.next || (err != nil) != test.bad || errors.As(err, &not) != test.bad {
					t.Errorf("%s: %d entries, next %q, %v; want %d, %q, bad %v", way, got, p.next, err, test.entries, test.next, test.bad)
				}
			}
		})
	}
	mine, wire := errors.New("mine"), errors.New("wire")
	broken := io.MultiReader(strings.NewReader(`{"resourceType":"Bundle","entry":[`+entries(2)+`,`), iotest.ErrReader(wire))
	if _, err := readBundle(broken, maxBundle, nil); err != wire {
		t.Errorf("%v, want the error of the reader as it is", err)
	}
	if _, err := readBundle(atOnce{`{"entry":[` + entries(2), wire}, maxBundle, func(entry) error { return mine }); err != mine {
		t.Errorf("%v, want the error of the caller as it is", err)
	}
}

// atOnce gives all of a text and an error in one read.
type atOnce struct {
	text string
	err  error
}

func (r atOnce) Read(p []byte) (int, error) { return copy(p, r.text), r.err }

// endless is a bundle that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestReadBundleIsBounded(t *testing.T) {
	t.Parallel()
	_, err := readBundle(io.MultiReader(strings.NewReader(`{"resourceType":"Bundle","entry":[{}`), endless{}), 1<<20, nil)
	var not notBundle
	if !errors.As(err, &not) || !strings.Contains(not.why, "longer than") {
		t.Errorf("%v, want an error about the length", err)
	}
}

func FuzzReadBundle(f *testing.F) {
	for _, text := range []string{"", "{}", "[]", "null", "<html>", `{"resourceType":"Bundle"}`, `{"resourceType":"Bundle","total":3000000000}`, `{"total":1e99}`,
		bundleJSON("https://x/?ct=1", matchJSON("Patient", "a", since), warningJSON),
		bundleJSON("", versionJSON("Patient", "a", "2", "DELETE", since))[:150],
		`{"resourceType":"Bundle","entry":[null,{"resource":null},{"fullUrl":"Patient/a","response":{"lastModified":"2024-01-01T00:00:00Z"}}]}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := readBundle(strings.NewReader(text), maxBundle, func(e entry) error {
			r, err := e.ref()
			if err == nil && (r.Type == "" || r.ID == "" || r.LastUpdated.IsZero() && !strings.Contains(text, "0001-01-01")) {
				t.Errorf("ref %+v", r)
			}
			return nil
		})
		var not notBundle
		if err != nil && !errors.As(err, &not) {
			t.Errorf("error %v, want one about the bundle", err)
		}
		if err == nil && p.total != nil && *p.total < 0 {
			t.Errorf("total %d", *p.total)
		}
	})
}
