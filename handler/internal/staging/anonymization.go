package staging

import (
	"context"
	"errors"
	"fmt"
	"net/url"
)

// AnonymizationContainer is the container of the export account in which a FHIR service looks for de-identification configurations. What is
// exported with one is written there as well, in a folder a job.
const AnonymizationContainer = "anonymization"

// ErrNoAnonymization: there is no such configuration.
var ErrNoAnonymization = errors.New("there is no such de-identification configuration")

// AnonymizationETag is the version of a de-identification configuration, as the service takes it: an ETag without quotes.
// ErrNoAnonymization.
func (s *Store) AnonymizationETag(ctx context.Context, file string) (string, error) {
	etag, err := s.exported.etag(ctx, AnonymizationContainer, file)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: blob %s in the container %s of the account that the source exports to", ErrNoAnonymization, file, AnonymizationContainer)
	}
	return etag, err
}

// AnonymizedBy says whether the export was asked to de-identify with a configuration in one version of it, as AnonymizationETag gives it.
func (m Manifest) AnonymizedBy(file, etag string) bool {
	u, err := url.Parse(m.Request)
	if err != nil || file == "" || etag == "" {
		return false
	}
	q := u.Query()
	return q.Get("_anonymizationConfig") == file && q.Get("_anonymizationConfigEtag") == etag
}
