package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	picture "image"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// page is a page in a headless Chromium. The DevTools protocol runs over two pipes:
// commands and answers are JSON, each terminated by a NUL.
// The events include the page's requests and complaints.
type page struct {
	t       *testing.T
	in      io.WriteCloser
	out     *bufio.Reader
	session string
	last    int
	events  []message // in order of arrival
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
	Session string `json:"sessionId,omitempty"`
}

// browse starts a browser, and stops it when the test ends.
func browse(t *testing.T) *page {
	t.Helper()
	fromUs, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromIt, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// The sandbox does not work as root. The browser only opens our own page.
	cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe")
	cmd.ExtraFiles = []*os.File{fromUs, fromIt}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fromUs.Close()
	fromIt.Close()
	p := &page{t: t, in: in, out: bufio.NewReaderSize(out, 1<<20)}
	late := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		p.call("Browser.close", nil, nil)
		_ = cmd.Wait()
		late.Stop()
		in.Close()
		out.Close()
	})
	var target struct{ TargetID string }
	p.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	p.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
	return p
}

// call sends a command and waits for the answer.
func (p *page) call(method string, params, result any) {
	p.t.Helper()
	p.last++
	m := message{ID: p.last, Method: method, Session: p.session}
	if strings.HasPrefix(method, "Browser.") {
		m.Session = ""
	}
	b, err := json.Marshal(params)
	if err != nil {
		p.t.Fatal(err)
	}
	if params != nil {
		m.Params = b
	}
	if b, err = json.Marshal(m); err == nil {
		_, err = p.in.Write(append(b, 0))
	}
	if err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
	for {
		m := p.read()
		if m.ID != p.last {
			continue
		}
		if m.Error != nil {
			p.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				p.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

func (p *page) read() (m message) {
	p.t.Helper()
	b, err := p.out.ReadBytes(0)
	if err == nil {
		err = json.Unmarshal(b[:len(b)-1], &m)
	}
	if err != nil {
		p.t.Fatalf("read from chromium: %v", err)
	}
	if m.Method != "" {
		p.events = append(p.events, m)
	}
	return m
}

// open opens a page and waits until it is loaded.
func (p *page) open(url string) {
	p.t.Helper()
	p.events = nil
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	for {
		for _, e := range p.events {
			if e.Method == "Page.loadEventFired" {
				return
			}
		}
		p.read()
	}
}

// complaints returns the page's exceptions, log messages and requests other than for itself.
func (p *page) complaints() (all []string) {
	requests := 0
	for _, e := range p.events {
		switch e.Method {
		case "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded":
			all = append(all, e.Method+": "+string(e.Params))
		case "Network.requestWillBeSent":
			if requests++; requests > 1 {
				all = append(all, e.Method+": "+string(e.Params))
			}
		}
	}
	return all
}

// eval evaluates an expression, awaits it if it is a promise, and decodes its JSON value.
func (p *page) eval(result any, expression string, args ...any) {
	p.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	p.call("Runtime.evaluate", map[string]any{
		"expression": fmt.Sprintf(expression, args...), "returnByValue": true, "awaitPromise": true,
	}, &answer)
	if answer.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", fmt.Sprintf(expression, args...), answer.ExceptionDetails)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result.Value, result); err != nil {
			p.t.Fatalf("%s: %v", fmt.Sprintf(expression, args...), err)
		}
	}
}

// text returns the text of an element, or "" if there is none.
func (p *page) text(selector string) (text string) {
	p.t.Helper()
	p.eval(&text, "document.querySelector(%q)?.innerText ?? ''", selector)
	return text
}

// click clicks with the mouse on an element, where nothing covers it.
func (p *page) click(selector string) {
	p.t.Helper()
	var at struct {
		X, Y float64
		Hit  string
	}
	p.eval(&at, `(() => {
		const e = document.querySelector(%q)
		e.scrollIntoView({ block: 'center', behavior: 'instant' })
		const r = e.getBoundingClientRect()
		let hit = ''
		// Try the middle first, then other points in case another element covers it.
		for (const f of [0, .2, -.2, .35, -.35]) for (const g of [0, .2, -.2, .35, -.35]) {
			const x = r.x + r.width * (.5 + g), y = r.y + r.height * (.5 + f)
			const top = document.elementFromPoint(x, y)
			if (top && (e.contains(top) || top.closest('label, button')?.contains(e))) return { x, y, hit: '' }
			hit ||= top?.outerHTML.slice(0, 200) ?? 'nothing'
		}
		return { hit }
	})()`, selector)
	if at.Hit != "" {
		p.t.Fatalf("%s cannot be clicked: %s covers it", selector, at.Hit)
	}
	p.clickAt(at.X, at.Y)
}

// clickAt clicks with the mouse on a place of the window.
func (p *page) clickAt(x, y float64) {
	p.t.Helper()
	for _, what := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		p.call("Input.dispatchMouseEvent", map[string]any{"type": what, "x": x, "y": y, "button": "left", "clickCount": 1}, nil)
	}
}

// screenshot takes a picture of the page. It also saves it in the tests' directory, for people to look at.
func (p *page) screenshot(name string, whole bool) picture.Image {
	p.t.Helper()
	var shot struct{ Data []byte }
	p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &shot)
	if err := os.WriteFile(filepath.Join(lab.dir, name+".png"), shot.Data, 0o644); err != nil {
		p.t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(shot.Data))
	if err != nil {
		p.t.Fatalf("screenshot: %v", err)
	}
	return m
}

// shades returns the mean brightness of a picture, its number of colours (rounded), and the share of the most common colour.
func shades(m picture.Image) (bright float64, colours int, most float64) {
	count, n := make(map[[3]uint32]int), 0
	for y := m.Bounds().Min.Y; y < m.Bounds().Max.Y; y += 2 {
		for x := m.Bounds().Min.X; x < m.Bounds().Max.X; x += 2 {
			r, g, b, _ := m.At(x, y).RGBA()
			count[[3]uint32{r >> 12, g >> 12, b >> 12}]++
			bright += float64(r+g+b) / 3 / 0xffff
			n++
		}
	}
	for _, c := range count {
		most = max(most, float64(c)/float64(n))
	}
	return bright / float64(n), len(count), most
}

// press presses a key, such as Enter or ArrowRight.
func (p *page) press(key string) {
	p.t.Helper()
	code := map[string]int{"Enter": 13, "Tab": 9, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}[key]
	text := ""
	if key == "Enter" {
		text = "\r"
	}
	p.call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "text": text}, nil)
	p.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}, nil)
}

// write types a text.
func (p *page) write(text string) {
	p.t.Helper()
	p.call("Input.insertText", map[string]any{"text": text}, nil)
}
