package cutover

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"time"
)

var (
	//go:embed page/certificate.html
	pageHTML string
	//go:embed page/certificate.css
	pageStyle string

	pageTemplate = template.Must(template.New("").Funcs(template.FuncMap{
		"instant": instant, "number": number, "style": func() template.CSS { return template.CSS(pageStyle) },
	}).Parse(pageHTML))
)

// SecurityPolicy is the Content-Security-Policy under which the page works: its own style, and nothing else.
func SecurityPolicy() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// WritePage writes the certificate as a page to print. Nothing is written unless all of it can be.
func WritePage(w io.Writer, cert Certificate) error {
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, cert); err != nil {
		return fmt.Errorf("the page of the certificate: %w", err)
	}
	_, err := page.WriteTo(w)
	return err
}

// instant is a time in UTC to the second, or a dash.
func instant(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// number groups digits by three.
func number(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
