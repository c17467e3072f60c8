package config

// TransportParams returns the ends of the names of the queue manager's
// parameters that begin with the name of a service in master.cf (qmgr(8)):
// lmtp_destination_recipient_limit has "_destination_recipient_limit".
func TransportParams() []string {
	return []string{
		"_destination_concurrency_limit", "_destination_concurrency_failed_cohort_limit",
		"_destination_concurrency_negative_feedback", "_destination_concurrency_positive_feedback",
		"_destination_rate_delay", "_destination_recipient_limit", "_initial_destination_concurrency",
		"_delivery_slot_cost", "_delivery_slot_discount", "_delivery_slot_loan", "_minimum_delivery_slots",
		"_recipient_limit", "_extra_recipient_limit", "_recipient_refill_delay", "_recipient_refill_limit",
		"_transport_rate_delay",
	}
}
