package edgeone

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const (
	// metadataService is the same for every instance, and reached from nowhere
	// else (https://www.tencentcloud.com/document/product/213/4934).
	metadataService = "http://metadata.tencentyun.com"
	metadataRoles   = "/latest/meta-data/cam/security-credentials/"
)

var roleNameShape = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,128}$`)

// metadata is the instance's metadata service. Tencent's SDK has a client for
// it, which is not used: it has no timeout, takes no context, takes any answer
// but a 404 for one, and follows redirects and proxies.
type metadata struct {
	url  string
	http *http.Client
}

// instanceRole is the credential of the instance's role; name "" asks which it
// has, for each renewal.
func instanceRole(life context.Context, name string, at Services) (Provider, error) {
	conns := newConns()
	conns.Proxy = nil // what answers is on the instance's own link, and speaks plain HTTP
	conns.DisableKeepAlives = true
	m := &metadata{
		url:  strings.TrimSuffix(cmp.Or(at.Metadata, metadataService), "/") + metadataRoles,
		http: &http.Client{Transport: conns, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	return newRenewed(life, at.Warn, func(ctx context.Context) (Credential, error) { return m.credential(ctx, name) }), nil
}

func (m *metadata) credential(ctx context.Context, name string) (Credential, error) {
	if name == "" {
		found, _, err := m.get(ctx, "", "no role is bound to this instance; bind one (CVM console: Instance settings, Bind/Modify role), or set other credentials in the fleet file")
		if err != nil {
			return Credential{}, err
		}
		name, _, _ = strings.Cut(strings.TrimSpace(string(found)), "\n")
		if !roleNameShape.MatchString(name) {
			return Credential{}, complain("cvm-role: what %s answers is no role's name; name the role, {cvm-role: NAME}, or find out what answers there", m.url)
		}
	}
	began := time.Now()
	body, dated, err := m.get(ctx, url.PathEscape(name), "the instance does not have the role "+name+"; bind it (CVM console: Instance settings, Bind/Modify role), or write the name of the one it has")
	if err != nil {
		return Credential{}, err
	}
	var answer struct {
		Code, TmpSecretId, TmpSecretKey, Token string
		ExpiredTime                            int64
	}
	where := "cvm-role: the answer of " + m.url + name
	if json.Unmarshal(body, &answer) != nil {
		return Credential{}, complain("%s is not the JSON that it should be; find out what answers there", where)
	}
	if answer.Code != "Success" {
		return Credential{}, complain("%s says %s; check that the role exists and that its trust policy names the service cvm.qcloud.com", where, cleanCode(answer.Code))
	}
	return lasting(NewCredential(answer.TmpSecretId, answer.TmpSecretKey, answer.Token), where, answer.ExpiredTime, began, dated)
}

// get reads one page, and its date; missing is what a 404 means.
func (m *metadata) get(ctx context.Context, page, missing string) ([]byte, time.Time, error) {
	const unreached = "cvm-role: the metadata service does not answer at %s (%s); it answers only on instances of Tencent Cloud: elsewhere set other credentials in the fleet file"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+page, nil)
	if err != nil {
		return nil, time.Time{}, complain("cvm-role: %q is no address of a metadata service", m.url)
	}
	response, err := m.http.Do(request)
	if err != nil {
		return nil, time.Time{}, complain(unreached, m.url, cmp.Or(reason(err), "Unknown"))
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotFound {
		return nil, time.Time{}, complain("cvm-role: %s", missing)
	}
	if response.StatusCode != http.StatusOK {
		return nil, time.Time{}, complain("cvm-role: the metadata service at %s answers with status %d; try again", m.url+page, response.StatusCode)
	}
	if response, err = whole(response); err != nil {
		return nil, time.Time{}, complain(unreached, m.url, cmp.Or(reason(err), "Unknown"))
	}
	dated, _ := http.ParseTime(response.Header.Get("Date"))
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, time.Time{}, complain(unreached, m.url, "Unknown")
	}
	return body, dated, nil
}
