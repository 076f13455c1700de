package activities

import (
	"go.temporal.io/sdk/temporal"
)

// Kind is the type of an application error, as it stands in histories: add,
// never rename. Whether a kind is retried is declared here and nowhere else.
type Kind string

// The kinds.
const (
	KindDenied   Kind = "Denied"      // EdgeOne refuses these credentials; every zone would fail alike
	KindPage     Kind = "PageDiffers" // a plan or page is missing or is not the one that was approved
	KindKeyset   Kind = "Keyset"      // no key can be sealed to a location
	KindLease    Kind = "NotActive"   // this process may not call EdgeOne now; the active one will
	KindHanded   Kind = "HandedBack"  // the lease is free; Temporal tries the next process
	KindTemporal Kind = "Temporal"    // Temporal did not answer; worth another try
	KindNotice   Kind = "Notice"      // a webhook refuses a notice
	KindFleet    Kind = "Fleet"       // the fleet file is not the one that was approved, or cannot be planned
	KindListing  Kind = "Listing"     // EdgeOne's list of zones or gateways could not be read
	KindStray    Kind = "Stray"       // it was not asked for by the workflow that may
	KindRate     Kind = "Rate"        // Temporal, or a brake that is on, refuses to have a rate set
	KindUnread   Kind = "Unread"      // a live key could not be read where all have to be
)

func (k Kind) retry() bool { return k == KindTemporal || k == KindLease || k == KindHanded }

// category keeps what is meant out of the log's errors.
func (k Kind) category() temporal.ApplicationErrorCategory {
	if k == KindHanded {
		return temporal.ApplicationErrorCategoryBenign
	}
	return temporal.ApplicationErrorCategoryUnspecified
}

// fail turns one of our failures into Temporal's. The text is read by people
// and stands in the history: it holds no key, and no SDK's error.
func fail(k Kind, text string) error {
	return temporal.NewApplicationErrorWithOptions(text, string(k), temporal.ApplicationErrorOptions{NonRetryable: !k.retry(), Category: k.category()})
}
