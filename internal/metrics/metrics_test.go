package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// busy returns a Set in which everything has happened, at a destination with a
// name that has to be escaped.
func busy() *Set {
	s := NewSet()
	s.Started()
	d := s.Destination(`inet:a"b\c:24`)
	for r := Sent; r < results; r++ {
		d.Settled(r, "2.0.0")
		d.Settled(r, "4.2.2")
		d.Settled(r, "nonsense")
	}
	for r := Lookup; r < reasons; r++ {
		d.Failed(r)
	}
	d.Unconfirmed(2)
	d.Connected(time.Millisecond)
	d.Opened(3*time.Millisecond, "TLSv1.3")
	d.Opened(time.Hour, "SSLv3")
	d.Opened(time.Nanosecond, "")
	d.Handshake(2 * time.Millisecond)
	d.Reused()
	d.Content(1000)
	d.Content(-1)
	d.Transaction(3, 70*time.Millisecond)
	d.Final(-time.Second)
	return s
}

func print(t *testing.T, services map[string]Service) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, services); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func everything() map[string]Service {
	return map[string]Service{
		"lmtp": {Counted: busy().Snapshot(), Processes: 2, Unreachable: 1, Slots: 20,
			InFlight: map[string]int{"final": 3, "data": 0}, Oldest: 1500 * time.Millisecond, Idle: 4},
		"other": {Counted: busy().Snapshot()},
	}
}

// What is printed is in Prometheus's format, has every family, and follows the
// rules for good metrics.
func TestWrite(t *testing.T) {
	text := print(t, everything())
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families() {
		if parsed[f.name] == nil {
			t.Errorf("%s is not printed", f.name)
		}
		delete(parsed, f.name)
	}
	for name := range parsed {
		t.Errorf("%s is printed and in no list", name)
	}
	for _, want := range []string{
		`postlmtp_deliveries_total{service="lmtp",destination="inet:a\"b\\c:24",result="sent",status="2.0"} 1`,
		`postlmtp_deliveries_total{service="lmtp",destination="inet:a\"b\\c:24",result="bounced",status="5.other"} 1`,
		`postlmtp_tls_sessions_total{service="other",destination="inet:a\"b\\c:24",version="older"} 1`,
		`postlmtp_hello_duration_seconds_bucket{service="lmtp",destination="inet:a\"b\\c:24",le="0.0005"} 1`,
		`postlmtp_hello_duration_seconds_bucket{service="lmtp",destination="inet:a\"b\\c:24",le="600"} 2`,
		`postlmtp_hello_duration_seconds_bucket{service="lmtp",destination="inet:a\"b\\c:24",le="+Inf"} 3`,
		`postlmtp_transaction_recipients_bucket{service="lmtp",destination="inet:a\"b\\c:24",le="2"} 0`,
		`postlmtp_transaction_recipients_bucket{service="lmtp",destination="inet:a\"b\\c:24",le="5"} 1`,
		`postlmtp_deliveries_in_flight{service="lmtp",stage="final"} 3`,
		`postlmtp_oldest_delivery_age_seconds{service="lmtp"} 1.5`,
		`postlmtp_process_starts_total{service="lmtp"} 1`,
		`postlmtp_content_bytes_total{service="lmtp",destination="inet:a\"b\\c:24"} 1000`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("not printed: %s", want)
		}
	}
}

// The bounds that are counted by are those that are printed.
func TestBounds(t *testing.T) {
	for i, bound := range timeBounds() {
		d := time.Duration(math.Round(bound * 1e9))
		if got := timeBucket(d); got != i {
			t.Errorf("%v is in bucket %d, want %d", d, got, i)
		}
		if got := timeBucket(d + 1); got != i+1 {
			t.Errorf("just above %v is in bucket %d, want %d", d, got, i+1)
		}
	}
	var h times
	if len(h.buckets) != len(timeBounds())+1 {
		t.Errorf("%d buckets for %d bounds", len(h.buckets), len(timeBounds()))
	}
	var c counts
	if len(c.buckets) != len(countBounds())+1 {
		t.Errorf("%d buckets for %d bounds", len(c.buckets), len(countBounds()))
	}
}

func TestStatusIndex(t *testing.T) {
	for code, want := range map[string]string{
		"2.0.0": "2.0", "2.1.5": "2.1", "4.4.1": "4.4", "5.7.0": "5.7", "5.7": "5.7",
		"5.8.0": "5.other", "5.70.1": "5.other", "4.x": "4.other", "3.0.0": "5.0", "": "5.other", "2": "5.other", "25.1": "5.other",
	} {
		if got := statusText(statusIndex(code)); got != want {
			t.Errorf("%q counts as %s, want %s", code, got, want)
		}
	}
}

// However many destinations there are, the number of series stays as it is.
func TestManyDestinations(t *testing.T) {
	s := NewSet()
	for i := range 10 * MaxDestinations {
		s.Destination(fmt.Sprintf("host%d", i)).Unconfirmed(1)
	}
	snap := s.Snapshot()
	if len(snap.Destinations) != MaxDestinations+1 {
		t.Errorf("%d destinations", len(snap.Destinations))
	}
	if got := snap.Destinations[Other].Counts[unconfirmed]; got != 9*MaxDestinations {
		t.Errorf("%v are counted as other", got)
	}
	if got := snap.Total(unconfirmed); got != 10*MaxDestinations {
		t.Errorf("%v in all", got)
	}
	// A process that came to know others first adds to the same ones.
	later := NewSet()
	for i := range 10 {
		later.Destination(fmt.Sprintf("late%d", i)).Unconfirmed(1)
	}
	later.Destination("host3").Unconfirmed(5)
	sum := snap.Plus(later.Snapshot())
	if len(sum.Destinations) != MaxDestinations+1 || sum.Destinations[Other].Counts[unconfirmed] != 9*MaxDestinations+10 ||
		sum.Destinations["host3"].Counts[unconfirmed] != 6 {
		t.Errorf("sum has %d destinations, %v", len(sum.Destinations), sum.Destinations[Other].Counts)
	}
	if snap.Total(unconfirmed) != 10*MaxDestinations {
		t.Error("the sum has changed what was summed up")
	}
}

// A destination that is called as the rest of them are is counted with them.
func TestCalledOther(t *testing.T) {
	s := NewSet()
	s.Destination(Other).Unconfirmed(1)
	for i := range 2 * MaxDestinations {
		s.Destination(fmt.Sprint(i)).Unconfirmed(1)
	}
	snap := s.Snapshot()
	if got := snap.Total(unconfirmed); got != 2*MaxDestinations+1 {
		t.Errorf("%v in all", got)
	}
}

// A snapshot survives its way through JSON, and the sum of two has everything
// twice, but for moments.
func TestSum(t *testing.T) {
	one := busy().Snapshot()
	text, err := json.Marshal(one)
	if err != nil {
		t.Fatal(err)
	}
	var back Snapshot
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(one, back, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("through JSON:\n%s", d)
	}
	two := Snapshot{}.Plus(one).Plus(back)
	for name, v := range one.Destinations {
		for key, n := range v.Counts {
			if got := two.Destinations[name].Counts[key]; got != 2*n {
				t.Errorf("%s: %v, want %v", key, got, 2*n)
			}
		}
		for key, h := range v.Histograms {
			if got := two.Destinations[name].Histograms[key]; got.count() != 2*h.count() || got.Sum != 2*h.Sum {
				t.Errorf("%s: %+v of %+v", key, got, h)
			}
		}
		if d := cmp.Diff(v.Times, two.Destinations[name].Times); d != "" {
			t.Errorf("times:\n%s", d)
		}
	}
	if got := two.Total(starts); got != 2 {
		t.Errorf("%v starts", got)
	}
}

func TestConcurrent(t *testing.T) {
	s := NewSet()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 1000 {
				d := s.Destination(fmt.Sprint((i + j) % 40))
				d.Settled(Sent, "2.0.0")
				d.Connected(time.Duration(j))
				if j%100 == 0 {
					s.Snapshot()
				}
			}
		})
	}
	all.Wait()
	if got := s.Snapshot().Total(deliveries + `{result="sent",status="2.0"}`); got != 4000 {
		t.Errorf("%v deliveries", got)
	}
}

// What a delivery costs: see docs/monitoring.md.
func BenchmarkDelivery(b *testing.B) {
	s := NewSet()
	b.ReportAllocs()
	for b.Loop() {
		d := s.Destination("unix:private/dovecot-lmtp")
		d.Reused()
		d.Content(1000)
		d.Final(time.Millisecond)
		d.Transaction(1, time.Millisecond)
		d.Settled(Sent, "2.0.0")
	}
}
