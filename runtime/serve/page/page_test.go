package page

import (
	"regexp"
	"strings"
	"testing"

	"github.com/ghostwriter-dp/ghostwriter/runtime/serve"
	"github.com/ghostwriter-dp/ghostwriter/runtime/serve/servetest"
)

// TestPage asks for the files without a key. What they refer to must be there, and nothing may come from elsewhere or be written
// into the page. tools/clients/page.mjs uses the page in a browser.
func TestPage(t *testing.T) {
	keys, err := serve.ParseKeys([]byte("0123456789abcdef\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, web := servetest.Serve(t, "../../../testdata", serve.Options{Keys: keys}, New)
	answer, html := servetest.Do(t, "GET", web.URL+"/", "")
	if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", answer.StatusCode, html)
	}
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(answer.Header.Get("Content-Security-Policy"), want) {
			t.Errorf("policy %q lacks %s", answer.Header.Get("Content-Security-Policy"), want)
		}
	}
	all := html
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		answer, text := servetest.Do(t, "GET", web.URL+m[1], "")
		if !strings.HasPrefix(m[1], "/page/") || answer.StatusCode != 200 || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d", m[1], answer.StatusCode)
		}
		all += text
	}
	if found := regexp.MustCompile(`(?i)https?://[^ "']*|<script>|<style|\son[a-z]+=|style="|localStorage|sessionStorage|document\.cookie|innerHTML|eval\(`).FindAllString(all, -1); len(found) > 0 {
		for _, f := range found {
			if f != "http://www.w3.org/2000/svg" { // a name, not an address
				t.Errorf("the page has %q", f)
			}
		}
	}
	again, _ := servetest.Do(t, "GET", web.URL+"/page/app.js", "", "If-None-Match", `"wrong"`)
	if fresh, _ := servetest.Do(t, "GET", web.URL+"/page/app.js", "", "If-None-Match", again.Header.Get("ETag")); fresh.StatusCode != 304 {
		t.Errorf("status %d for a file that is known", fresh.StatusCode)
	}
	if answer, _ := servetest.Do(t, "GET", web.URL+"/page/nosuch", "", "X-API-Key", "0123456789abcdef"); answer.StatusCode != 404 {
		t.Errorf("status %d", answer.StatusCode)
	}
}
