package fhir

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// The kinds of job, as the services' paths name them.
const (
	exportJob = "export"
	importJob = "import"
)

// jobID is a number, or a GUID with old Cosmos services.
var jobID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

// JobID is the id of a job: the last path segment of its status URL.
func JobID(statusURL string) string {
	u, err := url.Parse(statusURL)
	if err != nil {
		return ""
	}
	if id := path.Base(u.Path); id != "/" && id != "." {
		return id
	}
	return ""
}

func jobPath(kind, id string) string { return "/_operations/" + kind + "/" + id }

// statusPath is the path of a job of the given kind, below the base. Only the last segments of a status URL are taken from it: it
// comes from outside, its host may be one behind a gateway, and a token must not follow it anywhere else.
func statusPath(kind, statusURL string) (string, error) {
	u, err := url.Parse(statusURL)
	if err != nil {
		return "", errors.New("the status URL is not a URL")
	}
	before, id := path.Split(strings.TrimSuffix(u.Path, "/"))
	if !strings.HasSuffix(before, jobPath(kind, "")) || !jobID.MatchString(id) {
		return "", fmt.Errorf("the status URL %s does not end in %s: not followed", line(u.Host+u.Path, maxExcerpt), jobPath(kind, "<id>"))
	}
	return jobPath(kind, id), nil
}

// nextQuery is the query of a next link, to be sent to the path that was asked. The link may name the host behind a gateway, so
// its host and base path are replaced by ours; a link to something else than what was asked is refused.
func (s *Service) nextQuery(asked, link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", errors.New("the next link is not a URL")
	}
	tail := strings.TrimSuffix(asked, "/")
	before, fits := strings.CutSuffix(strings.TrimSuffix(u.EscapedPath(), "/"), tail)
	fits = fits && (before == s.base.EscapedPath() || isBasePath(before))
	switch {
	case !fits:
		return "", fmt.Errorf("the next link goes to %s, not to %s%s: not followed", line(u.Host+u.Path, maxExcerpt), s.base, asked)
	case u.RawQuery == "":
		return "", errors.New("the next link has no query: it would begin again")
	}
	return u.RawQuery, nil
}

// belowBase is a path segment that is a type, an operation or a history, and so not part of a base path.
var belowBase = regexp.MustCompile(`^([A-Z][a-z]|[$_])`)

// isBasePath says whether p can be the base path of a FHIR service. Where the inner service has its base is not known here.
func isBasePath(p string) bool { return !belowBase.MatchString(path.Base("/" + p)) }
