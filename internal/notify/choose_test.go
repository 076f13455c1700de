package notify

import "testing"

// The URL's host decides the format, unless a format is named.
func TestTheHostChoosesTheForm(t *testing.T) {
	for _, c := range []struct{ url, format, want string }{
		{"https://hooks.slack.com/services/T0/B0/x", "", Slack},
		{"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=x", "", WeCom},
		{"https://OAPI.dingtalk.com:443/robot/send?access_token=x", "", DingTalk},
		{"https://open.feishu.cn/open-apis/bot/v2/hook/x", "", Feishu},
		{"https://open.larksuite.com/open-apis/bot/v2/hook/x", "", Feishu},
		{"https://qyapi.weixin.qq.com.example.com/x", "", JSON},
		{"https://hooks.example.com/?to=hooks.slack.com", "", JSON},
		{"https://relay.example.com/x", DingTalk, DingTalk},
		{"https://open.feishu.cn/x", JSON, JSON},
	} {
		if f, known := (Config{URL: c.url, Format: c.format}).form(); !known || f.name != c.want {
			t.Errorf("%s %s: %s", c.url, c.format, f.name)
		}
	}
}
