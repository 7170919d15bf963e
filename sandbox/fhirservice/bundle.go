package fhirservice

import (
	"bytes"
	"strconv"
)

// nextLinkPrefix comes before the URL of the next link in a bundle.
const nextLinkPrefix = `{"relation":"next","url":"`

// bundle is an answer with resources. It is written by hand because the bytes of a resource must not change.
type bundle struct {
	typ     string // searchset, history, batch-response
	total   int    // -1: not given
	self    string
	next    string // "": the last page
	issues  []issue
	entries []bundleEntry
}

// bundleEntry is one entry; parts are further members, already encoded.
type bundleEntry struct {
	fullURL  string
	resource []byte
	parts    []part
}

type part struct {
	name  string
	value any
}

var matchPart = []part{{"search", map[string]string{"mode": "match"}}}

func (b *bundle) encode(q *request) []byte {
	size := 1024
	for _, e := range b.entries {
		size += len(e.resource) + 256
	}
	out := bytes.NewBuffer(make([]byte, 0, size))
	out.WriteString(`{"resourceType":"Bundle","id":"` + q.id + `","meta":{"lastUpdated":"` + formatInstant(q.now) + `"},"type":"` + b.typ + `"`)
	if b.total >= 0 {
		out.WriteString(`,"total":` + strconv.Itoa(b.total))
	}
	b.writeLinks(out)
	entries := b.entries
	if len(b.issues) > 0 {
		outcome := encode(operationOutcome{ResourceType: "OperationOutcome", ID: q.id, Issue: b.issues})
		first := bundleEntry{resource: outcome, parts: []part{{"search", map[string]string{"mode": "outcome"}}}}
		entries = append([]bundleEntry{first}, entries...)
	}
	if len(entries) > 0 {
		out.WriteString(`,"entry":[`)
		for i, e := range entries {
			if i > 0 {
				out.WriteByte(',')
			}
			e.write(out)
		}
		out.WriteByte(']')
	}
	out.WriteByte('}')
	return out.Bytes()
}

func (b *bundle) writeLinks(out *bytes.Buffer) {
	if b.self == "" && b.next == "" {
		return
	}
	out.WriteString(`,"link":[`)
	if b.next != "" {
		out.WriteString(nextLinkPrefix)
		out.Write(bytes.TrimPrefix(encode(b.next), []byte(`"`)))
		out.WriteString(`},`)
	}
	out.WriteString(`{"relation":"self","url":`)
	out.Write(encode(b.self))
	out.WriteString(`}]`)
}

func (e *bundleEntry) write(out *bytes.Buffer) {
	out.WriteByte('{')
	comma := ""
	member := func(name string, value []byte) {
		out.WriteString(comma + `"` + name + `":`)
		out.Write(value)
		comma = ","
	}
	if e.fullURL != "" {
		member("fullUrl", encode(e.fullURL))
	}
	if e.resource != nil {
		member("resource", e.resource)
	}
	for _, p := range e.parts {
		member(p.name, encode(p.value))
	}
	out.WriteByte('}')
}
