#!/usr/bin/env bash
# A kind cluster with a registry beside it, and in it clairwatch and a Clair: see README.md in this folder. Run again,
# it goes on where it stopped and takes over what has changed. Settings that are there stay as they are.
#
#   deploy/kind/up.sh
#   SLACK_WEBHOOK_URL=https://hooks.slack.com/services/... deploy/kind/up.sh shop   # the namespace shop is watched, too
set -euo pipefail
cd "$(dirname "$0")/../.."

cluster=clairwatch # as in kind.yaml
registry=kind-registry
address=localhost:5001

# Never another cluster, whichever is the current one.
k() { kubectl --context "kind-$cluster" "$@"; }
step() { printf '\n== %s\n' "$1"; }

for program in docker kind kubectl openssl; do
  if ! command -v "$program" >/dev/null; then
    echo "$program is not installed" >&2
    exit 1
  fi
done
if [ $# -gt 0 ] && [ -z "${SLACK_WEBHOOK_URL:-}" ]; then
  echo "set SLACK_WEBHOOK_URL, which is where to tell of: $*" >&2
  exit 1
fi

step "registry $address"
if ! docker inspect "$registry" >/dev/null 2>&1; then
  docker run -d --restart=always -p "127.0.0.1:5001:5000" --name "$registry" docker.io/library/registry:3
elif [ "$(docker inspect -f '{{.State.Running}}' "$registry")" != true ]; then
  docker start "$registry"
fi

step "cluster $cluster"
if ! kind get clusters | grep -qx "$cluster"; then
  kind create cluster --config deploy/kind/kind.yaml
fi
if [ "$(docker inspect -f '{{json .NetworkSettings.Networks.kind}}' "$registry")" = null ]; then
  docker network connect kind "$registry"
fi
# On a node, localhost is the node.
kind get nodes --name "$cluster" | while read -r node; do
  printf '[host."http://%s:5000"]\n' "$registry" |
    docker exec -i "$node" sh -c "mkdir -p '/etc/containerd/certs.d/$address' && cat >'/etc/containerd/certs.d/$address/hosts.toml'"
done

step "image"
docker build -t "$address/clairwatch:dev" .
# A tag that stands for what is in it: nodes do not fetch one again that they have.
tag=$(docker image inspect -f '{{.Id}}' "$address/clairwatch:dev" | cut -d: -f2 | cut -c1-12)
docker tag "$address/clairwatch:dev" "$address/clairwatch:$tag"
docker push "$address/clairwatch:$tag"

step "clairwatch and Clair"
kubectl kustomize --load-restrictor LoadRestrictionsNone deploy/kind |
  sed "s|$address/clairwatch:dev|$address/clairwatch:$tag|" | k apply -f -
if ! k -n clair get secret clair-database >/dev/null 2>&1; then
  printf %s "$(openssl rand -hex 32)" | k -n clair create secret generic clair-database --from-file=password=/dev/stdin
fi

if [ $# -gt 0 ]; then
  step "settings of $*"
  # As the owner of this one file of the Secret, which leaves the others as they are.
  printf %s "$SLACK_WEBHOOK_URL" | k -n clairwatch create secret generic clairwatch --from-file=slack=/dev/stdin --dry-run=client -o yaml |
    k apply --server-side --field-manager=deploy-kind -f -
  have=$(k -n clairwatch get configmap clairwatch -o jsonpath='{.data}')
  for namespace in "$@"; do
    k create namespace "$namespace" --dry-run=client -o yaml | k apply -f -
    if grep -qF "\"$namespace\":" <<<"$have"; then
      echo "the settings of $namespace are left as they are"
      continue
    fi
    k -n clairwatch patch configmap clairwatch --type merge -p "data:
  $namespace: |
    backend: clair
    notifier: slack
    clairBaseUrl: http://clair.clair:6000/
    slackWebhookFile: slack"
  done
fi

step "waiting until all of it runs"
k -n clair rollout status statefulset postgres --timeout=10m
k -n clair rollout status deployment clair --timeout=10m
k -n clairwatch rollout status deployment clairwatch --timeout=10m

cat <<END

It runs. Clair now fetches its advisories; first messages wait until it has them. To look at it:

  kubectl --context kind-$cluster -n clairwatch exec deployment/clairwatch -- /clairwatch check
  kubectl --context kind-$cluster -n clairwatch port-forward deployment/clairwatch 8081   # then http://127.0.0.1:8081/

An image for it:

  docker pull docker.io/library/nginx:1.25.0
  docker tag docker.io/library/nginx:1.25.0 $address/shop/web:1.25.0 && docker push $address/shop/web:1.25.0
  kubectl --context kind-$cluster -n shop create deployment web --image $address/shop/web:1.25.0
END
