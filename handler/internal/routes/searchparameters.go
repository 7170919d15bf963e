package routes

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"fhirmigration/handler/internal/ledger"
)

// searchParametersView is how far the custom search parameters are, as the API shows it.
type searchParametersView struct {
	State       string                    `json:"state"`
	Reason      string                    `json:"reason,omitempty"`
	Found       int                       `json:"found"`
	Existing    int                       `json:"existing"`
	Copied      int                       `json:"copied"`
	Refused     int                       `json:"refused"`
	Named       []ledger.RefusedParameter `json:"refusedParameters,omitempty"` // as many as there is room for; the log names all
	Reindex     string                    `json:"reindex,omitempty"`
	NotBefore   time.Time                 `json:"notBefore,omitzero"`
	StartedAt   time.Time                 `json:"startedAt,omitzero"`
	CompletedAt time.Time                 `json:"completedAt,omitzero"`
}

// searchParameters are the routes of custom search parameters: GET shows how far they are, POST has them copied again.
func (o Options) searchParameters(r chi.Router) {
	r.Get("/api/SearchParameters", o.function(func(ctx context.Context, _ *http.Request) (int, any, error) {
		s, err := o.Migration.Ledger.SearchParameters(ctx)
		v := searchParametersView{State: string(s.State), Reason: s.Reason, Found: s.Found, Existing: s.Existing, Copied: s.Copied, Refused: s.Refused, Named: s.Named,
			Reindex: s.ReindexStatus, NotBefore: s.NotBefore, StartedAt: s.StartTime, CompletedAt: s.EndTime}
		if !o.Migration.Settings.MigrateSearchParameters {
			v = searchParametersView{State: "off", Reason: "AZURE_MigrateSearchParameters is false"}
		}
		return http.StatusOK, v, err
	}))
	r.Post("/api/SearchParameters/copy", o.function(func(ctx context.Context, _ *http.Request) (int, any, error) {
		if !o.Migration.Settings.MigrateSearchParameters {
			return 0, nil, badRequest("AZURE_MigrateSearchParameters is false: set it to true first")
		}
		err := o.migration(ctx).RepeatSearchParameters(ctx)
		return http.StatusAccepted, map[string]string{"state": string(ledger.ParametersCopying), "next": "GET /api/SearchParameters tells how far it is"}, err
	}))
}
