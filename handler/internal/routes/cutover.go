package routes

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"fhirmigration/handler/internal/cutover"
)

// certificateTime bounds a certificate, for which the whole ledger is read. The platform's front end gives up after 230 s.
const certificateTime = 200 * time.Second

// cutover are the routes of readiness for the cutover, and of the certificate. Both only read.
func (o Options) cutover(r chi.Router) {
	r.Get("/api/Cutover", o.function(func(ctx context.Context, _ *http.Request) (int, any, error) {
		readiness, err := o.Cutover.Readiness(ctx)
		return http.StatusOK, readiness, err
	}))
	r.Get("/api/Certificate", func(w http.ResponseWriter, r *http.Request) {
		if o.SettingsError != nil || r.URL.Query().Get("format") == "json" {
			o.within(certificateTime, func(ctx context.Context, _ *http.Request) (int, any, error) {
				certificate, err := o.Cutover.Certificate(ctx)
				return http.StatusOK, certificate, err
			})(w, r)
			return
		}
		o.certificatePage(w, r)
	})
}

// certificatePage answers with the certificate to print.
func (o Options) certificatePage(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), certificateTime)
	defer cancel()
	certificate, err := o.Cutover.Certificate(ctx)
	var page bytes.Buffer
	if err == nil {
		err = cutover.WritePage(&page, certificate)
	}
	if err != nil {
		o.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", cutover.SecurityPolicy())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	page.WriteTo(w)
}
