package nexthop

import "slices"

// shuffle puts a list into random order.
func shuffle[T any](list []T, intn func(int) int) {
	for i := range len(list) - 1 {
		k := i + intn(len(list)-i)
		list[i], list[k] = list[k], list[i]
	}
}

// preferFamily moves the endpoints of the preferred family to the front, and
// leaves the order within a family as it is.
func preferFamily(endpoints []Endpoint, p Preference) {
	if p == AnyFamily {
		return
	}
	rank := func(ep Endpoint) int {
		if ep.Addr.Is4() == (p == PreferIPv4) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(endpoints, func(a, b Endpoint) int { return rank(a) - rank(b) })
}

// balance cuts the list to limit endpoints such that one address family does
// not crowd the other out (lmtp_balance_inet_protocols): a family with at most
// half the limit stays whole, else each gets half, the first one the odd one.
// Lists with one family are left alone: the limit is applied elsewhere.
func balance(endpoints []Endpoint, limit int) []Endpoint {
	four := 0
	for _, ep := range endpoints {
		if ep.Addr.Is4() {
			four++
		}
	}
	six := len(endpoints) - four
	if four == 0 || six == 0 || len(endpoints) <= limit {
		return endpoints
	}
	switch half := limit / 2; {
	case six <= half:
		four = limit - six
	case four <= half:
		six = limit - four
	default:
		four = half
		if limit%2 == 1 && endpoints[0].Addr.Is4() {
			four++
		}
		six = limit - four
	}
	var kept []Endpoint
	for _, ep := range endpoints {
		left := &six
		if ep.Addr.Is4() {
			left = &four
		}
		if *left > 0 {
			*left--
			kept = append(kept, ep)
		}
	}
	return kept
}
