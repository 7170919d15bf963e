package fhirservice

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoadChecksKeys(t *testing.T) {
	t.Parallel()
	good := version("Patient", "p", 1, 0, "")
	for name, change := range map[string]func(*Version){
		"unknown type":         func(v *Version) { v.Type = "Nonsense" },
		"bad id":               func(v *Version) { v.ID = "p/p" },
		"version no number":    func(v *Version) { v.VersionID = "one" },
		"no time":              func(v *Version) { v.LastUpdated = time.Time{} },
		"no JSON":              func(v *Version) { v.Raw = []byte("{") },
		"JSON of another type": func(v *Version) { v.Raw = []byte(`{"resourceType":"Group"}`) },
		"no JSON at all":       func(v *Version) { v.Raw = nil },
	} {
		b := setup(t, Options{})
		bad := good
		bad.ID = "q"
		change(&bad)
		if err := b.Load(good, bad); err == nil {
			t.Errorf("%s: it was loaded", name)
		} else if len(b.Versions()) != 0 {
			t.Errorf("%s: %v was loaded in spite of %v", name, keys(b.Versions()), err)
		}
	}
	b := setup(t, Options{})
	b.load(good)
	if err := b.Load(good); err == nil || !strings.Contains(err.Error(), "Patient/p has a version 1 already") {
		t.Errorf("the same version again: %v", err)
	}
}

func TestVersionsAreSortedByNumber(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.load(version("Patient", "p", 10, 3, ""), version("Patient", "p", 9, 5, ""), version("Group", "g", 1, 9, ""), tombstoneVersion("Patient", "a", 2, 1))
	b.load(version("Patient", "p", 2, 4, ""))
	if diff := cmp.Diff([]string{"Group/g/1", "-Patient/a/2", "Patient/p/2", "Patient/p/9", "Patient/p/10"}, keys(b.Versions())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := b.want(b.get("/Patient/p"), 200, ""); got.header.Get("ETag") != `W/"10"` {
		t.Errorf("the current version is %s, want the highest although it is older", got.header.Get("ETag"))
	}
}

func TestStampKeepsEveryByteButMeta(t *testing.T) {
	t.Parallel()
	v := Version{Type: "Patient", ID: "p", VersionID: "3", LastUpdated: noon.Add(120 * time.Millisecond)}
	for _, test := range []struct{ name, raw, want string }{
		{"nothing there", `{"resourceType":"Patient","z":1.10,"a":"<&>\u00e9"}`,
			`{"resourceType":"Patient","z":1.10,"a":"<&>\u00e9","id":"p","meta":{"versionId":"3","lastUpdated":"2024-05-01T12:00:00.12+00:00"}}`},
		{"all there", `{"id":"p","meta":{"lastUpdated":"2024-05-01T14:00:00.120+02:00","versionId":"3"},"resourceType":"Patient", "x":0.0000000000000000000010}`, ``},
		{"other values", `{"id":"p","meta":{"lastUpdated":"2024-05-01T12:00:00.1204Z","profile":["x"],"versionId":"9"},"resourceType":"Patient"}`,
			`{"id":"p","meta":{"lastUpdated":"2024-05-01T12:00:00.12+00:00","profile":["x"],"versionId":"3"},"resourceType":"Patient"}`},
		{"on several lines", "{\n \"id\":\"p\",\r\n \"meta\":{\"lastUpdated\":\"2024-05-01T12:00:00.12Z\",\"versionId\":\"3\"},\"resourceType\":\"Patient\"}",
			`{"id":"p","meta":{"lastUpdated":"2024-05-01T12:00:00.12Z","versionId":"3"},"resourceType":"Patient"}`},
	} {
		want := test.want
		if want == "" {
			want = test.raw
		}
		got, err := stamp([]byte(test.raw), v)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", test.name, err, got, want)
		}
	}
}

func TestDeletedMark(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`{"resourceType":"Patient","id":"p","meta":{"versionId":"1"}}`,
		`{"resourceType":"Patient","id":"p","meta":{"extension":[{"url":"http://other","valueString":"soft-deleted"}],"versionId":"1"}}`,
	} {
		marked, err := markDeleted([]byte(raw))
		if err != nil || !strings.Contains(string(marked), deletedExtension) {
			t.Fatalf("marked: %s, %v", marked, err)
		}
		stripped, was, err := stripDeletedMark(marked)
		if err != nil || !was || string(stripped) != raw {
			t.Errorf("stripped %v %v:\ngot  %s\nwant %s", was, err, stripped, raw)
		}
		if same, was, _ := stripDeletedMark([]byte(raw)); was || string(same) != raw {
			t.Errorf("a mark was found in %s", raw)
		}
	}
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, start, end string }{
		{"2024", "2024-01-01T00:00:00Z", "2024-12-31T23:59:59.9999999Z"},
		{"2024-02", "2024-02-01T00:00:00Z", "2024-02-29T23:59:59.9999999Z"},
		{"2024-05-01", "2024-05-01T00:00:00Z", "2024-05-01T23:59:59.9999999Z"},
		{"2024-05-01T10:00", "2024-05-01T10:00:00Z", "2024-05-01T10:00:59.9999999Z"},
		{"2024-05-01T10:00:07+02:00", "2024-05-01T08:00:07Z", "2024-05-01T08:00:07.9999999Z"},
		{"2024-05-01T10:00:00.1234567Z", "2024-05-01T10:00:00.1234567Z", "2024-05-01T10:00:00.1234567Z"},
		{"2024-05-01T10:00:00.5", "2024-05-01T10:00:00.5Z", "2024-05-01T10:00:00.5Z"},
	} {
		p, err := parsePeriod(test.text)
		if err != nil {
			t.Errorf("section 1.2: %s: %v", test.text, err)
			continue
		}
		if got := p.start.Format(time.RFC3339Nano); got != test.start {
			t.Errorf("section 1.3: %s starts %s, want %s", test.text, got, test.start)
		}
		if got := p.end.Format(time.RFC3339Nano); got != test.end {
			t.Errorf("section 1.3: %s ends %s, want %s", test.text, got, test.end)
		}
	}
	for _, bad := range []string{"", "24", "2024-13", "2024-02-30", "2024-05-01 ", "2024-05-01T10", "2024-05-01T25:00", "2024-05-01T10:00:00.12345678Z", "2024-05-01T10:00:00 02:00",
		"2024-05-01T10:00:00z", "2024Z", "2024-05-01T10:00:61Z", "2024-05-01T10:00+99:00"} {
		if p, err := parsePeriod(bad); err == nil {
			t.Errorf("section 1.2: %q is read as %v", bad, p)
		}
	}
}
