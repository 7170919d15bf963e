package fhir

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestStatusPath(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ kind, url, want string }{
		{exportJob, "https://source.example/_operations/export/17", "/_operations/export/17"},
		{exportJob, "https://inner.example/fhir/_operations/export/17/?x=y#z", "/_operations/export/17"},
		{exportJob, "/_operations/export/0b9a3c1e-6f5d-4b7c-9c1d-1a2b3c4d5e6f", "/_operations/export/0b9a3c1e-6f5d-4b7c-9c1d-1a2b3c4d5e6f"},
		{importJob, "https://u:p@source.example/_operations/import/17", "/_operations/import/17"},
		{importJob, "https://source.example/_operations/export/17", ""},
		{exportJob, "https://source.example/operations/export/17", ""},
		{exportJob, "https://source.example/x_operations/export/17", ""},
		{exportJob, "https://source.example/_operations/export/", ""},
		{exportJob, "https://source.example/_operations/export/..", ""},
		{exportJob, "https://source.example/_operations/export/1%2f2", ""},
		{exportJob, "https://source.example/_operations/export/1%0d", ""},
		{exportJob, "https://source.example/_operations/export/17/cancel", ""},
		{exportJob, "https://source.example/?to=/_operations/export/17", ""},
		{exportJob, "", ""},
		{exportJob, "::", ""},
	} {
		got, err := statusPath(test.kind, test.url)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("statusPath(%s, %s) = %q, %v; want %q", test.kind, test.url, got, err, test.want)
		}
	}
}

func TestJobID(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://source.example/_operations/export/17": "17", "https://source.example/_operations/import/a-b/?x=1/2": "a-b", "17": "17", "": "", "https://source.example": "", "::": "",
	} {
		if got := JobID(url); got != want {
			t.Errorf("JobID(%q) = %q, want %q", url, got, want)
		}
	}
}

func TestNextQuery(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ base, asked, link, want string }{
		{"https://source.example", "/", "https://source.example/?ct=a%2Bb&_count=1", "ct=a%2Bb&_count=1"},
		{"https://source.example", "/", "https://source.example?ct=a", "ct=a"},
		{"https://source.example", "/", "?ct=a", "ct=a"},
		{"https://gateway.example/fhir", "/", "https://gateway.example/fhir/?ct=a", "ct=a"},
		{"https://gateway.example/fhir", "/", "http://inner.local:8080/?ct=a", "ct=a"},
		{"https://gateway.example", "/", "https://inner.local/fhir/r4?ct=a", "ct=a"},
		{"https://gateway.example/Contoso", "/", "https://gateway.example/Contoso/?ct=a", "ct=a"},
		{"https://source.example", "/", "https://source.example/Patient?ct=a", ""},
		{"https://source.example", "/", "https://source.example/_history?ct=a", ""},
		{"https://source.example", "/", "https://source.example/$export?ct=a", ""},
		{"https://source.example", "/", "https://source.example/", ""},
		{"https://source.example", "/", "http://[bad", ""},
		{"https://gateway.example/fhir", "/_history", "https://inner.local/_history?ct=a", "ct=a"},
		{"https://gateway.example/fhir", "/_history", "https://inner.local/Patient/_history?ct=a", ""},
		{"https://gateway.example/fhir", "/_history", "https://inner.local/?ct=a", ""},
		{"https://gateway.example/fhir", "/Patient/a/_history", "https://inner.local/x/Patient/a/_history?ct=a", "ct=a"},
		{"https://gateway.example/fhir", "/Patient/a/_history", "https://inner.local/Patient/b/_history?ct=a", ""},
	} {
		s, err := New(Options{Base: test.base})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.nextQuery(test.asked, test.link)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("next link %s after %s%s: %q, %v; want %q", test.link, test.base, test.asked, got, err, test.want)
		}
	}
}

// TestT32AddressesOfAnotherHost has a service with a token whose answers name another host. That one records all requests: it
// must get none at all, and the job or search must go on at the service itself, or be refused with the reason.
func TestT32AddressesOfAnotherHost(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (s, other *odd) {
		t.Helper()
		other = startOdd(t, reply(200, countJSON))
		s = startOdd(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/fhir/$export":
				reply(202, "", "Content-Location", other.url+"/_operations/export/17")(w, r)
			case r.URL.Path == "/fhir/$import":
				reply(202, "", "Content-Location", other.url+"/jobs/8")(w, r)
			case strings.HasPrefix(r.URL.Path, "/fhir/_operations/"):
				reply(202, "")(w, r)
			case r.URL.Query().Get("ct") != "":
				reply(200, bundleJSON("", matchJSON("Patient", "a", at(3))))(w, r)
			case r.URL.Path == "/fhir/_history":
				reply(200, bundleJSON(other.url+"/Patient/_history?ct=1"))(w, r)
			default:
				reply(200, bundleJSON(other.url+"/?ct=1"))(w, r)
			}
		}, withCredential(&credential{}), func(o *Options) { o.Base += "/fhir" })
		return s, other
	}
	check := func(t *testing.T, s, other *odd, paths ...string) {
		t.Helper()
		for _, r := range other.asked() {
			t.Errorf("the other host was asked %s, Authorization %q", r.URL.RequestURI(), r.Header.Get("Authorization"))
		}
		var got []string
		for _, r := range s.asked() {
			got = append(got, r.Method+" "+r.URL.Path)
			if r.Header.Get("Authorization") != "Bearer token-1" {
				t.Errorf("%s with Authorization %q", r.URL.Path, r.Header.Get("Authorization"))
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(paths) {
			t.Errorf("the service was asked %q, want %q", got, paths)
		}
	}
	t.Run("Content-Location", func(t *testing.T) {
		t.Parallel()
		s, other := start(t)
		url, err := s.StartExport(t.Context(), ExportRequest{Till: till})
		if want := s.url + "/fhir/_operations/export/17"; err != nil || url != want {
			t.Errorf("%s, %v; want %s", url, err, want)
		}
		if done, err := s.PollExport(t.Context(), url, nil); done || err != nil {
			t.Errorf("poll: %v, %v", done, err)
		}
		check(t, s, other, "GET /fhir/$export", "GET /fhir/_operations/export/17")
	})
	t.Run("Content-Location that is no job", func(t *testing.T) {
		t.Parallel()
		s, other := start(t)
		_, err := s.StartImport(t.Context(), []byte("{}"))
		if KindOf(err) != Unreadable || !strings.Contains(err.Error(), "does not end in /_operations/import/<id>: not followed") {
			t.Errorf("%v, want the reason", err)
		}
		check(t, s, other, "POST /fhir/$import")
	})
	t.Run("stored status URL", func(t *testing.T) {
		t.Parallel()
		s, other := start(t)
		stored := other.url + "/_operations/import/8"
		if done, err := s.PollImport(t.Context(), stored, nil, nil); done || err != nil {
			t.Errorf("poll: %v, %v", done, err)
		}
		if err := s.CancelImport(t.Context(), stored); err != nil {
			t.Errorf("cancel: %v", err)
		}
		check(t, s, other, "GET /fhir/_operations/import/8", "DELETE /fhir/_operations/import/8")
	})
	t.Run("stored status URL that is no job", func(t *testing.T) {
		t.Parallel()
		s, other := start(t)
		for _, stored := range []string{other.url + "/steal", other.url + "/_operations/import/8", other.url + "/_operations/export/..", ""} {
			if _, err := s.PollExport(t.Context(), stored, nil); KindOf(err) != Refused || !strings.Contains(err.Error(), "not followed") {
				t.Errorf("poll %s: %v, want kind refused with the reason", stored, err)
			}
			if err := s.CancelExport(t.Context(), stored); KindOf(err) != Refused {
				t.Errorf("cancel %s: %v, want kind refused", stored, err)
			}
		}
		check(t, s, other)
	})
	t.Run("next link", func(t *testing.T) {
		t.Parallel()
		s, other := start(t)
		if got, found, err := s.First(t.Context(), "", Current, period); err != nil || !found || !got.Equal(at(3)) {
			t.Errorf("%v, %v, %v; want what is on the second page", got, found, err)
		}
		check(t, s, other, "GET /fhir/", "GET /fhir/")
	})
	t.Run("next link to something else", func(t *testing.T) {
		t.Parallel()
		s, other := start(t)
		if _, _, err := s.First(t.Context(), "", Versions, period); KindOf(err) != Refused || !strings.Contains(err.Error(), "/Patient/_history, not to") {
			t.Errorf("%v, want kind refused with the reason", err)
		}
		check(t, s, other, "GET /fhir/_history")
	})
}
