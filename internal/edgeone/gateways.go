package edgeone

import (
	"context"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	teo "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/teo/v20220901"

	"keywave/internal/rotation"
)

const (
	gatewaysPage = 1000 // the most that EdgeOne gives at once
	listTries    = 3
	private      = "private"
)

// Gateways implements rotation.Inventory. It begins again when gateways vanish
// between two pages, since others could have slipped past.
func (c *Client) Gateways(ctx context.Context, zone rotation.ZoneID) ([]rotation.Gateway, error) {
	for range listTries {
		gateways, still, err := c.gatewaysOnce(ctx, zone)
		if err != nil {
			return nil, err
		}
		if still {
			return gateways, nil
		}
	}
	return nil, &rotation.APIError{Class: rotation.Ambiguous, Code: codeMoved}
}

// gatewaysOnce goes through the pages; still says that no gateway vanished
// meanwhile.
func (c *Client) gatewaysOnce(ctx context.Context, zone rotation.ZoneID) (gateways []rotation.Gateway, still bool, err error) {
	seen := map[string]bool{}
	for offset, total := 0, 0; offset == 0 || offset < total; {
		page, err := patiently(ctx, c, func() (listed[rotation.Gateway], error) { return c.gatewaysAt(ctx, zone, offset) })
		if err != nil {
			return nil, false, err
		}
		if page.total < total {
			return nil, false, nil
		}
		total, offset = page.total, offset+len(page.rows)
		for _, g := range page.rows {
			if !seen[g.ID] {
				seen[g.ID] = true
				gateways = append(gateways, g)
			}
		}
		if len(page.rows) == 0 {
			break
		}
	}
	return gateways, true, nil
}

func (c *Client) gatewaysAt(ctx context.Context, zone rotation.ZoneID, offset int) (listed[rotation.Gateway], error) {
	var answer *teo.DescribeMultiPathGatewaysResponseParams
	receipt, err := c.call(ctx, ActionGateways, nil, func(ctx context.Context) (*string, error) {
		var err error
		if answer, err = c.sdk.gateways(ctx, gatewaysRequest(zone, offset)); answer == nil {
			return nil, err
		}
		return answer.RequestId, err
	})
	if err != nil {
		return listed[rotation.Gateway]{}, err
	}
	return checked(answer.TotalCount, answer.Gateways, offset, receipt, readGateway)
}

func gatewaysRequest(zone rotation.ZoneID, offset int) *teo.DescribeMultiPathGatewaysRequest {
	req := teo.NewDescribeMultiPathGatewaysRequest()
	req.ZoneId = common.StringPtr(string(zone))
	req.Offset = common.Int64Ptr(int64(offset))
	req.Limit = common.Int64Ptr(gatewaysPage)
	req.Filters = []*teo.Filter{{Name: common.StringPtr("gateway-type"), Values: common.StringPtrs([]string{private})}}
	return req
}

// readGateway refuses a gateway of another type than was asked for: a filter
// that is not obeyed is not understood.
func readGateway(g teo.MultiPathGateway) (rotation.Gateway, bool) {
	out := rotation.Gateway{ID: deref(g.GatewayId), Name: deref(g.GatewayName), IP: deref(g.GatewayIP)}
	return out, out.ID != "" && deref(g.GatewayType) == private
}
