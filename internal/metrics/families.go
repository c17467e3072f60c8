package metrics

// A kind is the type of a family.
type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// A family is a name under which there are series.
type family struct {
	name string
	kind kind
	help string
}

// The families. What is counted has the labels service and destination, but for
// process_starts_total, which has service only, as have the gauges of the moment.
const (
	deliveries    = "postlmtp_deliveries_total"
	unconfirmed   = "postlmtp_unconfirmed_total"
	opened        = "postlmtp_sessions_opened_total"
	reused        = "postlmtp_sessions_reused_total"
	failures      = "postlmtp_session_failures_total"
	authFailures  = "postlmtp_auth_failures_total"
	tlsSessions   = "postlmtp_tls_sessions_total"
	contentBytes  = "postlmtp_content_bytes_total"
	connectTime   = "postlmtp_connect_duration_seconds"
	helloTime     = "postlmtp_hello_duration_seconds"
	handshakeTime = "postlmtp_tls_handshake_duration_seconds"
	sessionTime   = "postlmtp_transaction_duration_seconds"
	finalTime     = "postlmtp_final_reply_duration_seconds"
	recipients    = "postlmtp_transaction_recipients"
	lastSuccess   = "postlmtp_destination_success_timestamp_seconds"
	lastFailure   = "postlmtp_destination_failure_timestamp_seconds"
	starts        = "postlmtp_process_starts_total"
	processes     = "postlmtp_processes"
	slots         = "postlmtp_delivery_slots"
	inFlight      = "postlmtp_deliveries_in_flight"
	oldest        = "postlmtp_oldest_delivery_age_seconds"
	idleSessions  = "postlmtp_sessions_idle"
	unreachable   = "postlmtp_processes_unreachable"
)

// families returns all families in the order in which they are printed.
func families() []family {
	return []family{
		{deliveries, counter, "Attempts to deliver to a recipient, by result and by class and subject of the enhanced status code."},
		{unconfirmed, counter, "Recipients for whom the server did not answer the end of the message: they may have it, and will get it again."},
		{opened, counter, "Sessions that were opened, up to the point where the first message could be sent."},
		{reused, counter, "Uses of a session that was kept open after an earlier message."},
		{failures, counter, "Sessions that could not be opened or broke, by reason."},
		{authFailures, counter, "Logins that failed."},
		{tlsSessions, counter, "Sessions that were opened with TLS, by protocol version."},
		{contentBytes, counter, "Message content sent, in bytes on the wire."},
		{connectTime, histogram, "Time to connect to a server that accepted the connection."},
		{helloTime, histogram, "Time from the connection until the session was ready: greeting, LHLO, TLS and login."},
		{handshakeTime, histogram, "Time of the TLS handshake alone."},
		{sessionTime, histogram, "Time from MAIL FROM to the last reply, of messages that were sent to their end."},
		{finalTime, histogram, "Time from the end of the message to the reply that settled a recipient for good."},
		{recipients, histogram, "Recipients in a transaction."},
		{lastSuccess, gauge, "When a session with the destination last worked."},
		{lastFailure, gauge, "When a session with the destination last failed."},
		{starts, counter, "Processes that began to serve."},
		{processes, gauge, "Processes that live now."},
		{slots, gauge, "Deliveries that these processes may do at once."},
		{inFlight, gauge, "Deliveries that are going on, by what they wait for."},
		{oldest, gauge, "Age of the delivery that has been going on for the longest time."},
		{idleSessions, gauge, "Open sessions that wait for a message."},
		{unreachable, gauge, "Processes that did not answer; their counters are as they last told."},
	}
}

// MaxDestinations is how many destinations have counters of their own.
const MaxDestinations = 30

// Other is the name of all destinations beyond MaxDestinations.
const Other = "other"

// timeBounds are the upper bounds of the histograms of times: from a socket on
// this machine to lmtp_data_done_timeout (600 s).
func timeBounds() []float64 {
	return []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
}

// countBounds are those of the histogram of recipients: 50 is the default of
// lmtp_destination_recipient_limit.
func countBounds() []float64 { return []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000} }

// boundsOf returns the upper bounds of a family of histograms.
func boundsOf(name string) []float64 {
	if name == recipients {
		return countBounds()
	}
	return timeBounds()
}
