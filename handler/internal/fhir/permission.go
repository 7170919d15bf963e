package fhir

import (
	"context"
	"io"
	"net/http"
)

// The roles that calls need, as Azure displays them.
const (
	RoleReader      = "FHIR Data Reader"
	RoleExporter    = "FHIR Data Exporter"
	RoleImporter    = "FHIR Data Importer"
	RoleContributor = "FHIR Data Contributor"
)

// MayExport asks for an export that does not exist: whoever may export hears that there is none, anybody else gets Forbidden. It starts
// nothing, and a retired service answers it too.
func (s *Service) MayExport(ctx context.Context) error { return s.mayAsk(ctx, exportJob) }

// MayImport asks for an import that does not exist, as MayExport does.
func (s *Service) MayImport(ctx context.Context) error { return s.mayAsk(ctx, importJob) }

func (s *Service) mayAsk(ctx context.Context, kind string) error {
	_, err := s.poll(ctx, kind, s.base.String()+jobPath(kind, "0"), nil, func(io.Reader) error { return nil })
	if KindOf(err) == NotFound {
		return nil
	}
	return err
}

// MayReindex asks for the reindex that runs, which starts none: a service answers 405 when there is none, and 423 while it is in
// initial-import mode, in which it takes nothing but imports.
func (s *Service) MayReindex(ctx context.Context) (initialImport bool, err error) {
	a, err := s.do(ctx, call{op: "ask for the reindex that runs", method: http.MethodGet, path: "/$reindex", accept: "application/fhir+json",
		want: []int{http.StatusOK, http.StatusMethodNotAllowed, http.StatusLocked}})
	if err != nil {
		return false, err
	}
	defer a.close()
	return a.status == http.StatusLocked, nil
}
