package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxBundle bounds one page of a search or history, in bytes.
const maxBundle = 256 << 20

// page is a bundle without its entries, which are handed on one by one while it is read.
type page struct {
	total *int64 // nil: the bundle says none
	next  string // the next link, "" for none
}

// entry is what is needed of an entry of a bundle.
type entry struct {
	FullURL  string `json:"fullUrl"`
	Resource struct {
		ResourceType string `json:"resourceType"`
		ID           string `json:"id"`
		Meta         struct {
			VersionID   string `json:"versionId"`
			LastUpdated string `json:"lastUpdated"`
		} `json:"meta"`
	} `json:"resource"`
	Search struct {
		Mode string `json:"mode"`
	} `json:"search"`
	Request struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	} `json:"request"`
	Response struct {
		ETag         string `json:"etag"`
		LastModified string `json:"lastModified"`
	} `json:"response"`
}

// match says whether the entry is what was searched for, and not a warning or something that came along.
func (e entry) match() bool {
	return (e.Search.Mode == "" || e.Search.Mode == "match") && e.Resource.ResourceType != "OperationOutcome"
}

// ref is the version that the entry is about. A deleted one may come without its resource.
func (e entry) ref() (Ref, error) {
	r := Ref{Type: e.Resource.ResourceType, ID: e.Resource.ID, VersionID: e.Resource.Meta.VersionID, Deleted: e.Request.Method == "DELETE"}
	if r.Type == "" || r.ID == "" {
		r.Type, r.ID = identity(e.Request.URL, e.FullURL)
	}
	if r.VersionID == "" {
		r.VersionID = strings.Trim(strings.TrimPrefix(e.Response.ETag, "W/"), `"`)
	}
	if r.Type == "" || r.ID == "" {
		return Ref{}, errors.New("an entry does not say which resource it is")
	}
	stamp := e.Resource.Meta.LastUpdated
	if stamp == "" {
		stamp = e.Response.LastModified
	}
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return Ref{}, fmt.Errorf("%s/%s has lastUpdated %q", r.Type, r.ID, line(stamp, 40))
	}
	r.LastUpdated = at.UTC()
	return r, nil
}

// identity finds {type}/{id} at the end of the first URL that has it, with or without /_history/{version}.
func identity(urls ...string) (typ, id string) {
	for _, u := range urls {
		before, _, _ := strings.Cut(u, "/_history")
		parts := strings.Split(before, "/")
		if n := len(parts); n >= 2 && resourceType.MatchString(parts[n-2]) && resourceID.MatchString(parts[n-1]) {
			return parts[n-2], parts[n-1]
		}
	}
	return "", ""
}

// errStop ends the reading of a bundle whose rest is not needed.
var errStop = errors.New("stop")

// notBundle is why a text is no bundle.
type notBundle struct{ why string }

func (e notBundle) Error() string { return e.why }

// badEntry is what is wrong with an entry of a bundle.
type badEntry struct{ why string }

func (e badEntry) Error() string { return e.why }

// readBundle reads a bundle of at most limit bytes from r and hands its entries to each, which may be nil. Errors are those of r, those of each as they
// are, or a notBundle.
func readBundle(r io.Reader, limit int64, each func(entry) error) (page, error) {
	source := &bounded{from: r, left: limit}
	b := bundleReader{json: json.NewDecoder(source), each: each}
	err := b.object(b.member)
	switch {
	case b.stopped:
		return b.page, err
	case err == nil && b.resourceType != "Bundle":
		return page{}, notBundle{fmt.Sprintf("resourceType is %q, not Bundle", line(b.resourceType, 64))}
	case source.err != nil:
		return page{}, source.err
	}
	return b.page, err
}

// bundleReader walks the tokens of a bundle, so that its entries need not be in memory together.
type bundleReader struct {
	json         *json.Decoder
	each         func(entry) error
	resourceType string
	page         page
	stopped      bool // by an error of each, which goes before one of the wire behind it
}

func (b *bundleReader) member(name string) error {
	switch name {
	case "resourceType":
		return b.value(&b.resourceType)
	case "total":
		if err := b.value(&b.page.total); err != nil {
			return err
		}
		if b.page.total != nil && *b.page.total < 0 {
			return notBundle{"the total is negative"}
		}
		return nil
	case "link":
		return b.links()
	case "entry":
		return b.entries()
	default:
		return b.value(&json.RawMessage{})
	}
}

func (b *bundleReader) links() error {
	var links []struct {
		Relation string `json:"relation"`
		URL      string `json:"url"`
	}
	if err := b.value(&links); err != nil {
		return err
	}
	for _, l := range links {
		if l.Relation != "next" {
			continue
		}
		if l.URL == "" {
			return notBundle{"the next link is empty"}
		}
		b.page.next = l.URL
	}
	return nil
}

func (b *bundleReader) entries() error {
	token, err := b.token()
	switch {
	case err != nil:
		return err
	case token == nil: // null
		return nil
	case token != json.Delim('['):
		return notBundle{"entry is not a list"}
	}
	for b.json.More() {
		var e entry
		if err := b.value(&e); err != nil {
			return err
		}
		if b.each == nil {
			continue
		}
		if err := b.each(e); err != nil {
			b.stopped = true
			return err
		}
	}
	_, err = b.token()
	return err
}

// object reads an object and calls member for each of its names.
func (b *bundleReader) object(member func(name string) error) error {
	if token, err := b.token(); err != nil {
		return err
	} else if token != json.Delim('{') {
		return notBundle{"not a JSON object"}
	}
	for b.json.More() {
		name, err := b.token()
		if err != nil {
			return err
		}
		if err := member(name.(string)); err != nil { // a name is a string, or Token would have failed
			return err
		}
	}
	_, err := b.token()
	return err
}

func (b *bundleReader) token() (json.Token, error) {
	token, err := b.json.Token()
	return token, b.syntax(err)
}

func (b *bundleReader) value(to any) error { return b.syntax(b.json.Decode(to)) }

func (b *bundleReader) syntax(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return notBundle{"the answer ends before the bundle does"}
	default:
		return notBundle{line("not a bundle: "+err.Error(), maxExcerpt)}
	}
}

// bounded reads at most so many bytes and remembers what went wrong with the reading.
type bounded struct {
	from io.Reader
	left int64
	err  error
}

// Read reads on, up to the bound.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.err = notBundle{"longer than is ever asked for"}
		return 0, b.err
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
