package main

// The API actions that a rotation calls.
const (
	actionDescribe = "DescribeMultiPathGatewaySecretKey"
	actionRefresh  = "RefreshMultiPathGatewaySecretKey"
	actionModify   = "ModifyMultiPathGatewaySecretKey"
)

// policyStaged is the word behind --policy for what the strategy staged needs.
const policyStaged = "staged"

// policy is a CAM policy in Tencent's syntax
// (https://www.tencentcloud.com/document/product/598/10603, and 10606 for
// resources: an empty account means that of whoever creates the policy).
type policy struct {
	Version   string      `json:"version"`
	Statement []statement `json:"statement"`
}

type statement struct {
	Effect   string   `json:"effect"`
	Action   []string `json:"action"`
	Resource []string `json:"resource"`
}

// leastPolicy lets credentials rotate keys, list zones and gateways, and do
// nothing else. Listing has no single zone to be limited to. change are the
// actions that change a key.
func leastPolicy(change ...string) policy {
	keys := []string{"teo:" + actionDescribe}
	for _, action := range change {
		keys = append(keys, "teo:"+action)
	}
	return policy{"2.0", []statement{
		{"allow", keys, []string{"qcs::teo:::zone/*"}},
		{"allow", []string{"teo:DescribeZones", "teo:DescribeMultiPathGateways"}, []string{"*"}},
	}}
}

// showPolicy keeps what is said about the policy out of it.
func (a *app) showPolicy(p policy) error {
	put(a.err, "Untested against the live API. Name single zones instead of zone/* where you can; the second statement is only for planning from EdgeOne's own list of zones.\n")
	return putJSON(a.out, p, "  ")
}
