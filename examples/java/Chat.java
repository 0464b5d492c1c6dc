// A chat in a terminal, from Java: it answers line by line until its input ends.
import bantam.AnswerOptions;
import bantam.BantamException;
import bantam.Code;
import bantam.Model;
import bantam.Piece;
import bantam.Role;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;

public final class Chat {
    public static void main(String[] arguments) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (Model model = Model.open(arguments[0]); bantam.Chat chat = model.chat()) {
            chat.add(Role.SYSTEM, "You are a helpful assistant.");
            AnswerOptions options = new AnswerOptions();
            options.setTemperature(0f);
            options.setMaxTokens(200);
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                for (Piece piece : chat.ask(line, options).asIterable()) {
                    System.out.print(piece.getText());
                    System.out.flush();
                }
                System.out.printf("%n(%s, %d tokens, mean log-probability %.2f)%n", chat.getSummary().getStopReason(),
                    chat.getSummary().getTokens(), chat.getSummary().getConfidence().getMean());
            }
        } catch (BantamException e) {
            System.err.println(e.getCodeName() + ": " + e.getMessage());
            System.exit(e.getCode() == Code.ARGUMENT ? 2 : 1);
        }
    }
}
