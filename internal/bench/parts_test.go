package bench

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStatistics(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5},
	} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median of %v: %v, want %v", tt.values, got, tt.want)
		}
	}
	times := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if p := percentile(times, 50); p != 6 {
		t.Errorf("half: %d", p)
	}
	if p := percentile(times, 99); p != 10 {
		t.Errorf("99 of 100: %d", p)
	}
}

// TestNumbers: each number is the median of all rounds, not the last.
func TestNumbers(t *testing.T) {
	var windows []window
	for _, n := range []int{50, 20, 100} {
		windows = append(windows, window{done: 100, sessions: n, elapsed: time.Duration(n) * time.Second,
			cpu: time.Duration(n) * time.Second, times: []time.Duration{time.Duration(n) * time.Second}})
	}
	want := Numbers{PerSecond: 2, CPU: 0.5, P50: 50, P99: 50, Sessions: 0.5}
	if got := numbers(windows); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestMatch chooses loads by their descriptions.
func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		match string
		full  bool
		want  int // 0: an error
	}{
		{"", false, 4}, {"", true, 19}, {"unix", false, 3}, {"round trip 20ms", true, 3}, {"CHUNKING", true, 3},
		{"socket", true, 0}, {"TLS", false, 0},
	} {
		s := &Suite{Match: tt.match, Full: tt.full}
		got, err := s.matching()
		if len(got) != tt.want || (err != nil) != (tt.want == 0) {
			t.Errorf("%q: %d loads, want %d: %v", tt.match, len(got), tt.want, err)
		}
	}
	s := &Suite{Match: "socket"}
	if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `"socket" is in none of the 4`) {
		t.Errorf("error %v", err)
	}
}

// TestSink holds dialogs with a sink, in pieces of any size.
func TestSink(t *testing.T) {
	const dialog = "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nRCPT TO:<b>\r\nDATA\r\n.\r\n" +
		"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<a>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\n" +
		"MAIL FROM:<>\r\nRCPT TO:<a>\r\nBDAT 5\r\nabcdeBDAT 3 LAST\r\nfghQUIT\r\n"
	const final = 2 + 1 + 1
	for _, rtt := range []time.Duration{0, time.Millisecond} {
		for _, size := range []int{1, 2, 3, 7, 64, len(dialog)} {
			sink, err := NewSink("unix", filepath.Join(t.TempDir(), "s"), SinkOptions{RTT: rtt})
			if err != nil {
				t.Fatal(err)
			}
			conn, err := net.Dial("unix", sink.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			for rest := dialog; rest != ""; {
				n := min(size, len(rest))
				if _, err := conn.Write([]byte(rest[:n])); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			var got bytes.Buffer
			if _, err := got.ReadFrom(conn); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(got.String(), sinkSaved); n != final || !strings.HasSuffix(got.String(), sinkBye) {
				t.Errorf("%v, pieces of %d: %d final replies, want %d:\n%s", rtt, size, n, final, got.String())
			}
			if n := sink.Messages(); n != 3 {
				t.Errorf("%v, pieces of %d: %d messages", rtt, size, n)
			}
			conn.Close()
			sink.Close()
		}
	}
}

func TestReport(t *testing.T) {
	c := Case{Concurrency: 20, Size: 4 << 10, Recipients: 1}
	windows := func(n int) []window {
		return []window{{done: n, elapsed: time.Second, cpu: time.Second, times: []time.Duration{1, 2}}}
	}
	agents := []Agent{{Name: Uncached}, {Name: Cached}, {Name: Ours}}
	rounds := [][]window{windows(100), windows(50), windows(300)}
	memory := []Memory{{100, 2}, {50, 2}, {10, 1}}
	res := CaseResult{Case: c, Better: better(agents, rounds, memory), Least: leastResult(windows(500), windows(300))}
	for i, a := range agents {
		res.Agents = append(res.Agents, AgentResult{a.Name, numbers(rounds[i])})
	}
	best := res.Better[Best]
	if best.PerSecond.Median != 3 || best.Memory.Median != 5 || best.CPU.Median != 3 {
		t.Errorf("ours against the best: %+v", best)
	}
	r := &Report{Cases: []CaseResult{res}, Ceilings: []CeilingResult{{Case: c, PerSecond: 1000, Fraction: 0.3}},
		StartUp:  &StartResult{Agents: []StartTime{{Uncached, 1}, {Ours, 2}}},
		Pipeline: &PipelineResult{Messages: 7, Agents: []PipelineAgent{{"Postfix", 1, 1}, {Ours, 2, 1}}}}
	var text, markdown bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteMarkdown(&markdown, "charts"); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*bytes.Buffer{"text": &text, "markdown": &markdown} {
		for _, want := range []string{c.String(), "3.00 (3.00–3.00)", "30 %", "60 % (60–60)", "7 messages"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, b)
			}
		}
	}
	for _, ch := range chartList() {
		if svg := r.chart(ch); strings.Contains(svg, "%!") || !strings.HasSuffix(svg, "</svg>\n") {
			t.Errorf("%s: %s", ch.file, svg)
		}
	}
}
