#!/usr/bin/env bash
# Starts one Kafka broker in KRaft mode with accounts (SCRAM) and permissions (ACLs): nobody without an account, and each
# account only what it was given. Needs bash, Java 17 or newer and Kafka's jars. Passwords are read from files, one an account.
#
#   KAFKA_HOME       folder whose libs/ holds Kafka's jars                    (/opt/kafka)
#   KAFKA_DATA       folder of the log segments                              (/var/lib/kafka/data)
#   KAFKA_SECRETS    folder with a file <account>.password per account       (/run/yrd)
#   KAFKA_HOST       name under which clients reach the broker               (kafka)
#   KAFKA_BIND       address to listen on                                    (0.0.0.0)
#   KAFKA_PORT       port for clients                                        (9092)
#   KAFKA_CONTROLLER_PORT  port of the controller, on this machine only      (9093)
set -euo pipefail
home=${KAFKA_HOME:-/opt/kafka}
data=${KAFKA_DATA:-/var/lib/kafka/data}
secrets=${KAFKA_SECRETS:-/run/yrd}
port=${KAFKA_PORT:-9092}
controller=${KAFKA_CONTROLLER_PORT:-9093}
umask 077
mkdir -p "$data"
# Beside the segments, not among them; it holds the broker's own password.
config="$data.properties"
cat >"$config" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=SASL_PLAINTEXT://${KAFKA_BIND:-0.0.0.0}:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=SASL_PLAINTEXT://${KAFKA_HOST:-kafka}:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_PLAINTEXT
listener.security.protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
username="admin" password="$(cat "$secrets/admin.password")";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
# The controller listens on this machine alone and knows no accounts.
super.users=User:admin;User:ANONYMOUS
log.dirs=$data
auto.create.topics.enable=false
# Nothing expires and nothing is compacted, whatever a topic forgets to say.
log.retention.ms=-1
log.retention.bytes=-1
log.cleanup.policy=delete
log.message.timestamp.type=LogAppendTime
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
END
java=(java -Xmx"${KAFKA_HEAP:-512m}" -cp "$home/libs/*")
if [ ! -f "$data/meta.properties" ]; then
    accounts=()
    for file in "$secrets"/*.password; do
        accounts+=(--add-scram "SCRAM-SHA-512=[name=$(basename "$file" .password),password=$(cat "$file")]")
    done
    cluster=$("${java[@]}" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1)
    "${java[@]}" kafka.tools.StorageTool format --cluster-id "$cluster" --config "$config" "${accounts[@]}"
fi
exec "${java[@]}" kafka.Kafka "$config"
