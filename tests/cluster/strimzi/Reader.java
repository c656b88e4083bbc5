import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.introspect.Annotated;
import com.fasterxml.jackson.databind.introspect.JacksonAnnotationIntrospector;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Map;

/** Reads custom resources, a JSON document a line, by Strimzi's own classes; a line of output for each that is refused. */
public class Reader {
    private static final String MODEL = "io.strimzi.api.kafka.model.";
    private static final Map<String, String> KINDS = Map.of(
        "Kafka", "kafka.Kafka", "KafkaNodePool", "nodepool.KafkaNodePool",
        "KafkaTopic", "topic.KafkaTopic", "KafkaUser", "user.KafkaUser");

    public static void main(String[] arguments) throws Exception {
        ObjectMapper mapper = new ObjectMapper().setAnnotationIntrospector(new JacksonAnnotationIntrospector() {
            @Override
            public Boolean hasAnySetter(Annotated member) {
                return false; // a field that the classes do not have is refused, and not kept beside
            }

            @Override
            public JsonInclude.Value findPropertyInclusion(Annotated member) {
                return JsonInclude.Value.construct(JsonInclude.Include.ALWAYS, JsonInclude.Include.ALWAYS);
            }
        });
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode document = mapper.readTree(line);
            String kind = document.get("kind").asText();
            try {
                Object read = mapper.readValue(line, Class.forName(MODEL + KINDS.get(kind)));
                String unknown = misread(document, mapper.valueToTree(read), "");
                if (!unknown.isEmpty()) {
                    say(kind, document, unknown + " is no value of it");
                }
            } catch (JsonProcessingException refusal) {
                say(kind, document, refusal.getMessage().replace('\n', ' '));
            }
        }
    }

    private static void say(String kind, JsonNode document, String what) {
        System.out.println(kind + " " + document.at("/metadata/name").asText() + ": " + what);
    }

    /** Where a text was read as nothing, as the name of a constant that does not exist is; "" for nowhere. */
    private static String misread(JsonNode given, JsonNode read, String at) {
        if (given.isValueNode()) {
            return given.isTextual() && (read.isNull() || read.isMissingNode()) ? at : "";
        }
        var names = given.fieldNames();
        for (int i = 0; i < given.size(); i++) {
            String name = given.isObject() ? names.next() : String.valueOf(i);
            JsonNode one = given.isObject() ? given.get(name) : given.get(i);
            JsonNode other = given.isObject() ? read.path(name) : read.path(i);
            String found = misread(one, other, at + "/" + name);
            if (!found.isEmpty()) {
                return found;
            }
        }
        return "";
    }
}
