package aegis.nori;

import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.ko.KoreanTokenizer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenizerFactory;

/** Tokenizer "nori_tokenizer", under the name that the official analysis-nori plugin gives it. */
@NamedComponent("nori_tokenizer")
public class NoriTokenizer implements TokenizerFactory {
    @Override
    public Tokenizer create() {
        return new KoreanTokenizer();
    }
}
