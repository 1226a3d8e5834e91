package elastic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"millrace/internal/configdef"
)

// signature returns what signs requests for Amazon's OpenSearch service (SigV4);
// nil when no aws.* credentials are given.
func signature(v configdef.Values) (func(context.Context, *http.Request, []byte) error, error) {
	key, secret := v.String("aws.access_key_id"), v.String("aws.secret_access_key")
	role, session := v.String("aws.sts.role.arn"), v.String("aws.sts.role.session.name")
	region, service := v.String("aws.region"), v.String("aws.service.signing.name")
	external, seconds := v.String("aws.sts.role.external.id"), v.Int("aws.sts.role.session.duration")
	byKey, byRole := key != "" && secret != "", role != "" && session != ""
	switch {
	case !byKey && !byRole:
		return nil, nil
	case byKey && byRole:
		return nil, configError("Found both AWS access and STS role credentials. Only one can be selected")
	case region == "" || service == "":
		return nil, configError("aws.region and aws.service.signing.name (es, or aoss for serverless) are needed to sign requests")
	case len(v.List("connection.url")) != 1:
		return nil, configError("connection.url: requests are signed for one address")
	}
	var from aws.CredentialsProvider = credentials.NewStaticCredentialsProvider(key, secret, "")
	if byRole {
		own, err := awsconfig.LoadDefaultConfig(context.Background(), awsconfig.WithRegion(region))
		if err != nil {
			return nil, fmt.Errorf("find the credentials that may assume the role %s: %w", role, err)
		}
		from = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(own), role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.Duration = session, time.Duration(seconds)*time.Second
			if external != "" {
				o.ExternalID = &external
			}
		})
	}
	cache, signer := aws.NewCredentialsCache(from), v4.NewSigner()
	return func(ctx context.Context, r *http.Request, body []byte) error {
		who, err := cache.Retrieve(ctx)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		hash := hex.EncodeToString(sum[:])
		r.Header.Set("X-Amz-Content-Sha256", hash) // asked for by serverless collections
		return signer.SignHTTP(ctx, who, r, hash, service, region, time.Now())
	}, nil
}
