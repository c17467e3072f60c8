package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const monitoring = "../../docs/monitoring"

// A dashboard is what this test needs of Grafana's format.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, RefID, LegendFormat string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard: the dashboard has what Grafana needs to show it.
func TestDashboard(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.Title == "" || d.UID == "" || d.SchemaVersion < 30 {
		t.Errorf("title %q, uid %q, schema version %d", d.Title, d.UID, d.SchemaVersion)
	}
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	used := regexp.MustCompile(`\$\{?(\w+)`)
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("panel %d, %q: no title, or the number of another one", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies over %q or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, name := range used.FindAllStringSubmatch(target.Expr, -1) {
				if !variables[name[1]] {
					t.Errorf("%q: there is no variable %s", p.Title, name[1])
				}
			}
			if target.Expr == "" || target.RefID == "" || target.LegendFormat == "" {
				t.Errorf("%q: %+v", p.Title, target)
			}
		}
	}
}

// TestAlertRules: the rules are right, and each fires when it must and only then.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	const promtool = "/usr/bin/promtool"
	need(t, promtool)
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	rules, err := os.ReadFile(filepath.Join(monitoring, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(monitoring, "alerts_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tests), name[1]) {
			t.Errorf("%s has no test", name[1])
		}
	}
}

// prometheus is a private instance of Debian's.
type prometheus struct {
	t   *testing.T
	url string
}

// startPrometheus starts one that asks at an address, often, and applies our
// alert rules.
func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	const program = "/usr/bin/prometheus"
	need(t, program)
	dir := t.TempDir()
	rules, err := filepath.Abs(filepath.Join(monitoring, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs: [{job_name: postlmtp, static_configs: [{targets: [%q]}]}]\n", rules, target)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=error")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	p := &prometheus{t: t, url: "http://" + address}
	eventually(t, later, "Prometheus to be ready", func() bool {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	})
	return p
}

// query evaluates an expression, and returns its values by their labels.
func (p *prometheus) query(expr string) (map[string]string, error) {
	resp, err := http.Get(p.url + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(data, &answer); err != nil || answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s %v", expr, answer.Error, err)
	}
	values := map[string]string{}
	for _, r := range answer.Data.Result {
		values[fmt.Sprint(r.Metric)] = fmt.Sprint(r.Value[1])
	}
	return values, nil
}

// one is the value of an expression that has one, else what it has.
func (p *prometheus) one(expr string) string {
	p.t.Helper()
	values, err := p.query(expr)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, v := range values {
		if len(values) == 1 {
			return v
		}
	}
	return fmt.Sprint(values)
}

// TestPrometheus: a real Prometheus asks the daemon under a real Postfix, over a
// reload and the end of the process, and every expression of the dashboard and of
// the alert rules has data.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	a := underTest(t)
	if !a.ours() {
		return
	}
	need(t, "/usr/bin/prometheus", "/usr/bin/promtool")
	listen := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	ports := ports{open: freePort(t), closed: freePort(t)}
	p := startPostfix(t, options{agent: a, main: []string{
		"queue_run_delay = 300s", "minimal_backoff_time = 300s", "postlmtp_log_json = yes",
		"virtual_alias_maps = inline:{ alias@sink.lmtp.sock.test=user@sink.lmtp.sock.test }",
		"postlmtp_metrics_listen = " + listen}})
	prom := startPrometheus(t, listen)
	mixedTraffic(t, p, ports)

	counted := map[string]string{
		`sum(postlmtp_deliveries_total{result="sent"})`:     "17",
		`sum(postlmtp_deliveries_total{result="deferred"})`: fmt.Sprint(len(p.log.find(0, ` postfix/lmtp\[\d+\]: .* status=deferred `))),
		`sum(postlmtp_deliveries_total{result="bounced"})`:  fmt.Sprint(len(p.log.find(0, ` postfix/lmtp\[\d+\]: .* status=bounced `))),
	}
	all := func(when string) {
		t.Helper()
		for expr, want := range counted {
			eventually(t, later, when+": "+expr+" to be "+want, func() bool { return prom.one(expr) == want })
		}
	}
	all("after the traffic")
	p.checkDashboard(prom)

	// What promtool says of what Prometheus gets.
	resp, err := http.Get("http://" + listen + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lint := exec.Command("/usr/bin/promtool", "check", "metrics")
	lint.Stdin = resp.Body
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}

	// Each line of a delivery has its JSON object beside it.
	lines := p.log.find(0, ` postfix/lmtp\[\d+\]: [^ ]+: to=<`)
	objects := p.log.find(0, ` postfix/lmtp\[\d+\]: {"event":"delivery".*}$`)
	if len(lines) != len(objects) || len(lines) == 0 {
		t.Errorf("%d lines of deliveries, %d JSON objects", len(lines), len(objects))
	}
	for _, line := range objects {
		_, text, _ := strings.Cut(fmt.Sprint(line), "]: ")
		if !json.Valid([]byte(text[:strings.LastIndexByte(text, '}')+1])) {
			t.Errorf("no JSON: %s", text)
		}
	}

	p.reload()
	p.sendSmall(t, "sender@e2e.test", "user@sink.lmtp.sock.test")
	counted[`sum(postlmtp_deliveries_total{result="sent"})`] = "18"
	all("after a reload")
	if got := prom.one(`sum(resets(postlmtp_deliveries_total[10m]))`); got != "0" {
		t.Errorf("counters went back %s times", got)
	}
	if got := prom.one(`sum(postlmtp_process_starts_total)`); got != "2" {
		t.Errorf("%s starts", got)
	}
}

// checkDashboard evaluates the expressions of the dashboard.
func (p *postfix) checkDashboard(prom *prometheus) {
	t := p.t
	t.Helper()
	fill := strings.NewReplacer("$service", ".*", "$destination", ".*", "$__rate_interval", "1m")
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			expr := fill.Replace(target.Expr)
			// Nothing here speaks TLS: that these series exist is tested with
			// the metrics themselves.
			if strings.Contains(expr, "postlmtp_tls_") {
				if _, err := prom.query(expr); err != nil {
					t.Errorf("%q: %v", panel.Title, err)
				}
				continue
			}
			var values map[string]string
			var err error
			limit := time.Now().Add(20 * time.Second)
			for values, err = prom.query(expr); err == nil && len(values) == 0 && time.Now().Before(limit); values, err = prom.query(expr) {
				time.Sleep(100 * time.Millisecond)
			}
			if err != nil || len(values) == 0 {
				t.Errorf("%q has no data: %s: %v", panel.Title, expr, err)
			}
		}
	}
}
