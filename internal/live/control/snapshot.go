// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"sandstream/overlayapi"
	"sandstream/overlayapi/overlayv1"
)

// snapshot is what the web page shows: answers of the API in one document.
func (a api) snapshot(ctx context.Context) ([]byte, error) {
	out := map[string]json.RawMessage{}
	put := func(name string, m proto.Message, err error) error {
		if err != nil {
			return err
		}
		b, err := overlayapi.MarshalJSON(m)
		out[name] = b
		return err
	}
	st, err := a.Status(ctx, connect.NewRequest(&overlayv1.StatusRequest{}))
	if err := put("status", st.Msg, err); err != nil {
		return nil, err
	}
	to, err := a.Topology(ctx, connect.NewRequest(&overlayv1.TopologyRequest{}))
	if err := put("topology", to.Msg, err); err != nil {
		return nil, err
	}
	ss, err := a.Streams(ctx, connect.NewRequest(&overlayv1.StreamsRequest{}))
	if err := put("streams", ss.Msg, err); err != nil {
		return nil, err
	}
	su, err := a.Subscriptions(ctx, connect.NewRequest(&overlayv1.SubscriptionsRequest{}))
	if err := put("contracts", su.Msg, err); err != nil {
		return nil, err
	}
	return json.Marshal(out)
}
